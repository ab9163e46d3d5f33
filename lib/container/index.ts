export type { LogOptions, SignalName, Stdio, Stream } from '../run/index.js'
export {
  ContainerProcess,
  type Exit,
  InputStream,
  OutputStream,
  type PipedProcess,
  Terminal,
} from '../run/index.js'
export { type AttemptOptions, attempt } from './attempt.js'
export * from './builder.js'
export type { RootfsOptions } from './check.js'
export * from './configuration.js'
export { Box, type Omission, type Status } from './container.js'
export type { ContainerEvent, ContainerEvents, ContainerEventsOptions } from './events.js'
export type { FileOptions } from './files.js'
export type { GroupOptions } from './group.js'
export type {
  Hook,
  HookContext,
  HookFunction,
  HookLists,
  HookPoint,
  HookProgram,
  HookState,
  Hooks,
  ProgramHook,
} from './hooks.js'
export type { ProcessInfo } from './processes.js'
export type { StartOptions } from './request.js'
