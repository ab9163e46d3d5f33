import { conflict, invalidOption, onlyKeys } from '../base/index.js'
import type { Capability } from '../capabilities/index.js'
import { checkTarget, type Origin } from '../mounts/index.js'
import type { Step } from '../plan/index.js'
import type { CapabilityOptions, StepPlacement } from './configuration.js'

// What the builder is told, looked at before it is believed.

/** The namespaces to join, by kind. */
export function joined(option: unknown): Record<string, string> {
  if (typeof option !== 'object' || option === null || Object.keys(option).length === 0)
    throw invalidOption('isolate', 'must be kinds of namespaces, or { kind: path }')
  return option as Record<string, string>
}

/** What `proc()` and `sysfs()` take. */
export function originOption(option: string, origin: unknown): Origin {
  if (origin !== 'new' && origin !== 'bind') throw invalidOption(option, "must be 'new' or 'bind'")
  return origin
}

/** Paths in the container, as `maskedPaths()` takes them. */
export function targets(option: string, paths: readonly string[]): string[] {
  if (!Array.isArray(paths)) throw invalidOption(option, 'must be a list of paths')
  return paths.map(path => checkTarget(option, path))
}

const capabilitySetNames = ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'] as const

/** A copy whose lists nobody else can change; names are looked at by `create()`. */
export function copyCapabilities(
  capabilities: readonly Capability[] | CapabilityOptions,
): readonly Capability[] | CapabilityOptions {
  const copy = (option: string, list: unknown): Capability[] => {
    if (!Array.isArray(list)) throw invalidOption(option, 'must be a list of names')
    return list.map(name => String(name) as Capability)
  }
  if (Array.isArray(capabilities)) return copy('capabilities', capabilities)
  onlyKeys('capabilities', capabilities, capabilitySetNames)
  const options = capabilities as CapabilityOptions
  const sets: CapabilityOptions = {}
  for (const name of capabilitySetNames)
    if (options[name] !== undefined) sets[name] = copy(`capabilities.${name}`, options[name])
  return sets
}

/** Refuses what is no step, or has no place. */
export function checkStep(step: Step, placement: StepPlacement): void {
  const wrong = (problem: string) => invalidOption('step', problem)
  const name = step?.name
  if (step?.side !== 'init' && step?.side !== 'host' && step?.side !== 'waiting')
    throw wrong("must be made by plan.step() or plan.hostStep(), or have the side 'waiting'")
  if (typeof name !== 'string' || name === '') throw wrong('has no name')
  if (step.side === 'waiting') {
    if (typeof step.run !== 'function') throw wrong(`${name}: run must be a function`)
    if (step.undo !== undefined && typeof step.undo !== 'function')
      throw wrong(`${name}: undo must be a function`)
  } else if (!Array.isArray(step.operations)) throw wrong(`${name}: operations must be a list`)
  onlyKeys('step', placement, ['before', 'after', 'half'])
  const { before, after, half = 'setup' } = placement
  if (half !== 'setup' && half !== 'process')
    throw invalidOption('step.half', "must be 'setup' or 'process'")
  if (before !== undefined && after !== undefined)
    throw conflict('step', 'stands before a step or after one, not both')
  if (step.side === 'host' && half === 'process')
    throw wrong('the host has no part in the process half but waiting steps')
}
