import type { Connection } from '../connection.js'
import { Fdb } from './bridge-fdb.js'
import { Vlans } from './bridge-vlans.js'

/** What bridges know and how they filter. bridge(8); the devices themselves are links. */
export class Bridges {
  /** Where they send what is for a hardware address. */
  readonly fdb: Fdb
  /** Which VLANs their ports are in. */
  readonly vlans: Vlans

  constructor(connection: Connection) {
    this.fdb = new Fdb(connection)
    this.vlans = new Vlans(connection)
  }
}
