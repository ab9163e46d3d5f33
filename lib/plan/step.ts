import { type Descriptor, invalidOption } from '../base/index.js'
import type { Operation, Slot } from './operation.js'

/** The kinds of namespaces that Linux has; namespaces(7). */
export type NamespaceKind = 'cgroup' | 'ipc' | 'mount' | 'network' | 'pid' | 'time' | 'user' | 'uts'

/** What init does: operations that the core carries out inside. */
export interface InitStep {
  side: 'init'
  /** Short and lower-case; errors and `explain()` call the step by it. */
  name: string
  operations: readonly Operation[]
  /**
   * When it fails it is left out, and `box.omitted` names it. Only for what
   * the caller said it can do without.
   */
  optional?: boolean
}

/**
 * What the core does on the host, before there is an init. Limited to calls
 * that don't change the process: open, mkdir, flock, write and the like. The
 * descriptors live as long as the container.
 */
export interface HostStep {
  side: 'host'
  name: string
  operations: readonly Operation[]
  /**
   * It depends on nothing, so it is carried out in advance, for the next
   * container, while the host has nothing else to do. A container for which
   * nothing is ready finds its slot empty: what uses it meets `EBADF`. Leaves
   * one descriptor.
   */
  ahead?: boolean
}

/** What a {@link WaitingStep} gets to work with. */
export interface HostContext {
  /** The container's name. */
  readonly id: string
  /** init's pid as the host sees it. */
  readonly pid: number
  /** The descriptor that {@link WaitingStep.send} names, now the function's own; or -1. */
  readonly descriptor: number
  /** Path of init's namespace, to open or to hand to setns(2). */
  namespace(kind: NamespaceKind): string
}

/**
 * A function of the host that runs while init waits at this very place of its
 * plan. It may be asynchronous; if it throws, the container is not made.
 */
export interface WaitingStep {
  side: 'waiting'
  name: string
  /** A descriptor of init's that `run` is to get. */
  send?: Slot
  /** Takes the descriptor that `run` gives, which is closed here when init has it. */
  receive?: Slot
  run(context: HostContext): void | Descriptor | Promise<void> | Promise<Descriptor>
  /**
   * Takes back what `run` did. It is noted before `run` is called, so it is
   * also called when `run` failed half-way; and when the container is deleted.
   */
  undo?(context: HostContext): void | Promise<void>
}

/** One step of a plan. */
export type Step = InitStep | HostStep | WaitingStep

/** All of a container: what makes it, and what then runs in it. */
export interface Plan {
  setup: readonly Step[]
  /** What init does while it is parked: nobody waits for it but `start()`. */
  parked: readonly InitStep[]
  process: readonly Step[]
  /** Namespaces that only clone3 itself can make. */
  clone: readonly NamespaceKind[]
  /** The folder of the v2 group that init is made in, opened by a host step. */
  into?: Slot | undefined
}

/** An {@link InitStep}. */
export function step(name: string, ...operations: Operation[]): InitStep {
  return { side: 'init', name, operations }
}

/** A {@link HostStep}. */
export function hostStep(name: string, ...operations: Operation[]): HostStep {
  return { side: 'host', name, operations }
}

/** @throws CofferdamError `ERR_INVALID_OPTION` naming `option`, for what is no step. */
export function checkStep(option: string, step: unknown): Step {
  const wrong = (problem: string) => invalidOption(option, problem)
  const one = step as Step | null | undefined
  const name = one?.name
  if (one?.side !== 'init' && one?.side !== 'host' && one?.side !== 'waiting')
    throw wrong("must be made by plan.step() or plan.hostStep(), or have the side 'waiting'")
  if (typeof name !== 'string' || name === '') throw wrong('has no name')
  if (one.side === 'waiting') {
    if (typeof one.run !== 'function') throw wrong(`${name}: run must be a function`)
    if (one.undo !== undefined && typeof one.undo !== 'function')
      throw wrong(`${name}: undo must be a function`)
  } else if (!Array.isArray(one.operations)) throw wrong(`${name}: operations must be a list`)
  return one
}
