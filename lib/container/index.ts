export { type AttemptOptions, attempt } from './attempt.js'
export * from './builder.js'
export * from './configuration.js'
export { Box, type Omission, type StartOptions, type Status } from './container.js'
export type { FileOptions } from './files.js'
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
export { ContainerProcess, type Exit, type PipedProcess } from './process.js'
export type { ProcessInfo } from './processes.js'
export type { SignalName } from './signals.js'
export type { LogOptions, Stdio, Stream } from './stdio.js'
export { InputStream, OutputStream } from './streams.js'
export { Terminal } from './terminal.js'
