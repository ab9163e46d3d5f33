import {
  attribute,
  attributes,
  flagSet,
  format,
  ip,
  struct,
  text,
  u8,
  u32,
  type ValueOf,
} from '../codec/index.js'
import { family } from './families.js'
import { scope } from './scopes.js'

/** linux/if_addr.h IFA_F_*. The first is called temporary of IPv6 (RFC 8981). */
export const addressFlags = {
  secondary: 0x01,
  nodad: 0x02,
  optimistic: 0x04,
  dadfailed: 0x08,
  homeaddress: 0x10,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  managetempaddr: 0x100,
  noprefixroute: 0x200,
  mcautojoin: 0x400,
  stableprivacy: 0x800,
} as const

/**
 * What is said of an address. `nodad`: others are not asked whether they have it; `tentative`:
 * they are being asked; `dadfailed`: one has it; `optimistic`: it is used meanwhile;
 * `noprefixroute`: no route to its prefix is made; `managetempaddr`: temporary ones are made
 * of it; `mcautojoin`: a multicast group is joined; `secondary` (`temporary` of IPv6),
 * `deprecated`, `permanent` and `stableprivacy` are the kernel's to say. A number stands for
 * flags that have no name here.
 */
export type AddressFlag = keyof typeof addressFlags | 'temporary' | number

const flags = flagSet(addressFlags, u32)
export type KernelFlags = ValueOf<typeof flags>

/** struct ifaddrmsg; its eight bits of flags are also in IFA_FLAGS. */
const header = struct({ family, prefix: u8, pad: 1, scope, index: u32 })

/** struct ifa_cacheinfo: seconds, and hundredths of them since the start of the machine. */
const cache = struct({ preferred: u32, valid: u32, created: u32, updated: u32 })

export const addressFormat = format(
  header,
  attributes({
    address: attribute('IFA_ADDRESS', 1, ip),
    local: attribute('IFA_LOCAL', 2, ip),
    label: attribute('IFA_LABEL', 3, text(16)),
    broadcast: attribute('IFA_BROADCAST', 4, ip),
    cache: attribute('IFA_CACHEINFO', 6, cache),
    flags: attribute('IFA_FLAGS', 8, flags),
    priority: attribute('IFA_RT_PRIORITY', 9, u32),
    protocol: attribute('IFA_PROTO', 11, u8),
  }),
)

export type RawAddress = Parameters<typeof addressFormat.write>[1]
