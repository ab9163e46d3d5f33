import {
  attribute,
  attributes,
  be16,
  bytes,
  type Codec,
  flagSet,
  format,
  ip,
  mac,
  s32,
  struct,
  u8,
  u16,
  u32,
} from '../codec/index.js'
import { family } from './families.js'

/** linux/rtnetlink.h; entries of a bridge's database are neighbours too. */
export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30

/** linux/neighbour.h NUD_* */
export const neighbourStates = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const

/** NTF_* */
export const neighbourFlags = {
  use: 0x01,
  self: 0x02,
  master: 0x04,
  proxy: 0x08,
  externLearn: 0x10,
  offloaded: 0x20,
  sticky: 0x40,
  router: 0x80,
} as const

/** NTF_EXT_* */
export const extendedNeighbourFlags = { managed: 1, locked: 2, externValidated: 4 } as const

/**
 * How far it is known that a neighbour is there; `none` is no state at all, and a number one
 * without a name here.
 */
export type NeighbourState = keyof typeof neighbourStates | 'none' | number

/** What is said of a neighbour; a number for flags that have no name here. */
export type NeighbourFlag =
  | keyof typeof neighbourFlags
  | keyof typeof extendedNeighbourFlags
  | number

/** struct ndmsg */
const header = struct({
  family,
  pad: 3,
  index: s32,
  state: flagSet(neighbourStates, u16),
  flags: flagSet(neighbourFlags, u8),
  type: u8,
})

/** An address of the Internet Protocol, which some devices' neighbours don't have. */
const destination: Codec<string> = {
  write: ip.write,
  read: (from, start, end) =>
    end - start === 4 || end - start === 16
      ? ip.read(from, start, end)
      : Buffer.from(bytes.read(from, start, end)).toString('hex'),
}

/** struct nda_cacheinfo: hundredths of seconds ago. */
const cache = struct({ confirmed: u32, used: u32, updated: u32, references: u32 })

export const neighbourFormat = format(
  header,
  attributes({
    address: attribute('NDA_DST', 1, destination),
    hardware: attribute('NDA_LLADDR', 2, mac),
    cache: attribute('NDA_CACHEINFO', 3, cache),
    probes: attribute('NDA_PROBES', 4, u32),
    vlan: attribute('NDA_VLAN', 5, u16),
    port: attribute('NDA_PORT', 6, be16),
    vni: attribute('NDA_VNI', 7, u32),
    throughDevice: attribute('NDA_IFINDEX', 8, u32),
    master: attribute('NDA_MASTER', 9, u32),
    sourceVni: attribute('NDA_SRC_VNI', 11, u32),
    protocol: attribute('NDA_PROTOCOL', 12, u8),
    nexthopId: attribute('NDA_NH_ID', 13, u32),
    moreFlags: attribute('NDA_FLAGS_EXT', 15, flagSet(extendedNeighbourFlags, u32)),
  }),
)

export type RawNeighbour = Parameters<typeof neighbourFormat.write>[1]

/** Flags as they stand in the header and, some, in an attribute. */
export function splitFlags(
  all: readonly NeighbourFlag[],
): Pick<RawNeighbour, 'flags' | 'moreFlags'> {
  const isMore = (flag: NeighbourFlag) =>
    typeof flag === 'string' && Object.hasOwn(extendedNeighbourFlags, flag)
  const more = all.filter(isMore) as NonNullable<RawNeighbour['moreFlags']>
  const rest = all.filter(flag => !isMore(flag)) as NonNullable<RawNeighbour['flags']>
  return { flags: rest, ...(more.length > 0 && { moreFlags: more }) }
}

/** The bits of a state, of which there is but one. */
export function stateOf({ state = [] }: RawNeighbour): NeighbourState {
  return state[0] ?? 'none'
}
