import type { Capability } from '../capabilities/index.js'
import type { DirectoryRoot, Mount, Origin, OverlayRoot } from '../mounts/index.js'
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

/**
 * How long a container lives. `'attached'`: it dies with the program that made
 * it, however that dies. `'detached'`: it has a keeper, a small process that
 * stays with it, holds its streams and writes down how it ended. `'released'`:
 * it has none, and belongs to whoever reaps it when its maker has ended.
 */
export type Lifetime = 'attached' | 'detached' | 'released'

/** All that a builder has been told. Plain data but for `steps`, and functions among `hooks`. */
export interface Configuration {
  id: string | undefined
  lifetime: Lifetime
  rootfs: OverlayRoot | DirectoryRoot | undefined
  isolation: Partial<Record<NamespaceKind, Isolation>> | undefined
  /** Of a new user namespace, the caller's or the one that an ordinary user needs. */
  idMappings: IdMappings | undefined
  hostname: string | undefined
  mounts: Mount[]
  capabilities: readonly Capability[] | CapabilityOptions | undefined
  maskedPaths: readonly string[] | undefined
  readonlyPaths: readonly string[] | undefined
  noNewPrivileges: boolean
  process: ({ argv: readonly string[] } & ProcessOptions) | undefined
  /** Whether proc and sysfs are new ones, or the outer ones. */
  proc: Origin
  sysfs: Origin
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

/** Whether the container gets a namespace of this kind of its own. */
export function isolates({ isolation, idMappings }: Configuration, kind: NamespaceKind): boolean {
  if (kind === 'user' && idMappings !== undefined) return true
  return isolation === undefined ? defaultIsolation.includes(kind) : isolation[kind] === 'new'
}
