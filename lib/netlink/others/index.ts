export {
  Conntrack,
  type ConntrackCounters,
  type ConntrackEntry,
  type ConntrackEvent,
  type ConntrackFilter,
  type ConntrackTuple,
} from './conntrack.js'
export { type ConntrackStatus, conntrackStatusFlags } from './conntrack-format.js'
export { socketStates } from './inet-diag.js'
export { processEvents } from './process-events.js'
export type { ProcessEvent, ProcessEventOf } from './process-format.js'
export {
  type InternetSocket,
  type SocketFilter,
  type SocketState,
  Sockets,
  type UnixSocket,
} from './sockets.js'
export type { Uevent } from './uevents.js'
