/**
 * The process half of a plan: what runs, as whom, with which streams.
 *
 * @module
 */

export { formatList, type NumberList, parseList } from '../base/index.js'
export {
  DEFAULT_PATH,
  detachStep,
  dieWithHostStep,
  dumpable,
  execStep,
  openToHostStep,
  type Program,
  passStep,
  signalsStep,
  streamsStep,
  type TerminalOption,
  type TerminalSize,
} from '../run/index.js'
export * from './affinity.js'
export * from './attributes.js'
export * from './io-priority.js'
export * from './keyring.js'
export * from './memory-policy.js'
export * from './oom.js'
export * from './personality.js'
export * from './reading.js'
export * from './rlimits.js'
export * from './scheduling.js'
export * from './specification.js'
export * from './steps.js'
export * from './sysctls.js'
export * from './terminal.js'
export * from './users.js'
