import { attribute, attributes, flagSet, oneOf, u16, type ValueOf } from '../../codec/index.js'
import { kind } from './kind.js'

const data = attributes({
  /** At which layer frames are told apart. Default: `l3`. */
  mode: attribute('IFLA_IPVLAN_MODE', 1, oneOf({ l2: 0, l3: 1, l3s: 2 }, u16)),
  /** Whether those on the same device reach each other. Default: none of them, that is `bridge`. */
  flags: attribute('IFLA_IPVLAN_FLAGS', 2, flagSet({ private: 1, vepa: 2 }, u16)),
})

/** A device with the address of another device, which `link` is, told apart by IP addresses. */
export interface Ipvlan extends ValueOf<typeof data> {}

/** linux/if_link.h IFLA_IPVLAN_… */
export const ipvlan = kind(data)
