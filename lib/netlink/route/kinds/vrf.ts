import { attribute, attributes, u32, type ValueOf } from '../../codec/index.js'
import { kind } from './kind.js'

const data = attributes({
  /** The table of routes that its devices use. */
  table: attribute('IFLA_VRF_TABLE', 1, u32),
})
const port = attributes({ table: attribute('IFLA_VRF_PORT_TABLE', 1, u32) })

/** Devices with a table of routes of their own, which have this one as `master`. */
export interface Vrf extends ValueOf<typeof data> {}
/** A device of a VRF. */
export interface VrfPort extends ValueOf<typeof port> {}

/** linux/if_link.h IFLA_VRF_… */
export const vrf = kind(data)
export const vrfPort = kind(port, { readOnly: ['table'] })
