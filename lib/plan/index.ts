/**
 * Plans as data: operations, the steps that are made of them, and their
 * encoding for the core. A runtime of your own adds steps with these.
 *
 * @module
 */
export * from './encode.js'
export * from './explain.js'
export * from './files.js'
export * from './kinds.js'
export * from './mount-flags.js'
export * from './operation.js'
export * from './step.js'
export {
  MAX_FDS,
  MAX_LOG_NAME,
  opcodes,
  requests,
  STREAMS,
  type SyscallName,
  WIRE_VERSION,
} from './wire.js'
