import type { Capability } from '../capabilities/index.js'
import type { DirectoryRoot, Mount, OverlayRoot } from '../mounts/index.js'
import type { IdMappings, NamespaceKind } from '../namespaces/index.js'
import type { Step } from '../plan/index.js'
import type { ProcessOptions } from '../process/index.js'
import type { HookLists } from './hooks.js'

/** How a namespace comes about: a new one, or an existing one by its path. */
export type Isolation = 'new' | { join: string }

/** The sets of capabilities, as the OCI's runtime specification has them. */
export interface CapabilityOptions {
  /** What any later execve could at most gain. */
  bounding?: readonly Capability[]
  effective?: readonly Capability[]
  permitted?: readonly Capability[]
  inheritable?: readonly Capability[]
  /** What a program without privileges of its own gets as an ordinary user. */
  ambient?: readonly Capability[]
}

/** Where a step of the caller's own goes. */
export interface StepPlacement {
  /** Before the step of this name. Default: before `pivot`, or at the end. */
  before?: string
  /** After the step of this name. */
  after?: string
  /** `'setup'` makes the container, `'process'` is what runs in it. Default: `'setup'`. */
  half?: 'setup' | 'process'
}

/** All that a builder has been told. Plain data but for `steps`, and functions among `hooks`. */
export interface Configuration {
  id: string | undefined
  rootfs: OverlayRoot | DirectoryRoot | undefined
  isolation: Partial<Record<NamespaceKind, Isolation>> | undefined
  /** Of a new user namespace. */
  idMappings: IdMappings | undefined
  hostname: string | undefined
  mounts: Mount[]
  capabilities: readonly Capability[] | CapabilityOptions | undefined
  maskedPaths: readonly string[] | undefined
  readonlyPaths: readonly string[] | undefined
  noNewPrivileges: boolean
  process: ({ argv: readonly string[] } & ProcessOptions) | undefined
  steps: { step: Step; placement: StepPlacement }[]
  hooks: HookLists | undefined
  /** What hooks are told of it. */
  bundle: string | undefined
  annotations: Readonly<Record<string, string>> | undefined
}

/** What is isolated when the caller does not say. */
export const defaultIsolation: readonly NamespaceKind[] = [
  'mount',
  'pid',
  'uts',
  'ipc',
  'network',
  'cgroup',
]
