import type { Capability, CapabilitySet, Securebit } from '../capabilities/index.js'
import type { CheckedLimits, DeviceRule } from '../cgroups/index.js'
import type { Mount, Origin, PropagationMode, Root, RootChange } from '../mounts/index.js'
import type {
  CheckedTimeOffsets,
  IdMappings,
  NamespaceKind,
  NamespaceReference,
} from '../namespaces/index.js'
import type { Step } from '../plan/index.js'
import type { ProcessOptions, Sysctl } from '../process/index.js'
import type { GroupOptions } from './group.js'
import type { HookLists } from './hooks.js'

/** How a namespace comes about: a new one, or an existing one. */
export type Isolation = 'new' | { join: NamespaceReference }

/**
 * The sets of capabilities, as the OCI's runtime specification has them. Those that
 * are left out are empty.
 */
export interface CapabilityOptions {
  /** What any later execve could at most gain. */
  bounding?: CapabilitySet
  effective?: CapabilitySet
  permitted?: CapabilitySet
  inheritable?: CapabilitySet
  /** What a program without privileges of its own gets as an ordinary user. */
  ambient?: CapabilitySet
  /**
   * What is different about root and capabilities; all others are off. Without
   * sets, the default ones. prctl(2) PR_SET_SECUREBITS. Equivalent to:
   * `setpriv --securebits=…`
   */
  securebits?: readonly Securebit[]
}

/** What differs from the default capabilities. */
export interface CapabilityChange {
  /** `'ALL'`: all that this program can hand on. Equivalent to: `docker run --cap-add` */
  add?: readonly (Capability | 'ALL')[]
  /** `'ALL'`: all but what is added. Equivalent to: `docker run --cap-drop` */
  drop?: readonly (Capability | 'ALL')[]
  /** As {@link CapabilityOptions.securebits}. */
  securebits?: readonly Securebit[]
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
  rootfs: Root | undefined
  /** How the root is changed to, and which mounts it hears of. */
  rootChange: RootChange
  rootPropagation: readonly PropagationMode[]
  /** Whether device files in it can't be opened, if that has been said; see {@link closesDevices}. */
  rootNodev: boolean | undefined
  isolation: Partial<Record<NamespaceKind, Isolation>> | undefined
  /** Of a new user namespace, the caller's or the one that an ordinary user needs. */
  idMappings: IdMappings | undefined
  /** Of a new time namespace. */
  timeOffsets: CheckedTimeOffsets | undefined
  hostname: string | undefined
  domainname: string | undefined
  sysctls: readonly Sysctl[] | undefined
  mounts: Mount[]
  capabilities: CapabilitySet | CapabilityOptions | CapabilityChange | undefined
  maskedPaths: readonly string[] | undefined
  readonlyPaths: readonly string[] | undefined
  noNewPrivileges: boolean
  process: ({ argv: readonly string[] } & ProcessOptions) | undefined
  /** Whether proc and sysfs are new ones, or the outer ones. */
  proc: Origin
  sysfs: Origin
  steps: { step: Step; placement: StepPlacement }[]
  hooks: HookLists | undefined
  /** Of its control group, in their normal form. */
  limits: CheckedLimits | undefined
  /** It can do without what the limits ask for. */
  limitsOptional: boolean
  /** Which devices its processes may use besides those of the default list. */
  devices: readonly (DeviceRule | string)[] | undefined
  group: GroupOptions | undefined
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

/** Whether it gets a control group of its own. */
export function hasGroup({ limits, devices, group }: Configuration): boolean {
  return limits !== undefined || devices !== undefined || group !== undefined
}

/**
 * Whether device files that turn up in its root or in `/dev` can't be opened. Rules on devices
 * that the caller gives, and that hold for sure, say it instead.
 */
export function closesDevices({ rootNodev, devices, limitsOptional }: Configuration): boolean {
  return rootNodev ?? (devices === undefined || limitsOptional)
}

/** Whether the container gets a namespace of this kind of its own. */
export function isolates(
  { isolation, idMappings, timeOffsets }: Configuration,
  kind: NamespaceKind,
): boolean {
  if (kind === 'user' && idMappings !== undefined) return true
  if (kind === 'time' && timeOffsets !== undefined) return true
  return isolation === undefined ? defaultIsolation.includes(kind) : isolation[kind] === 'new'
}
