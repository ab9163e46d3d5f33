import { CofferdamError, conflict, invalidOption, onlyKeys, textsOption } from '../base/index.js'
import {
  afterExec,
  allCapabilities,
  boundingSet,
  type Capability,
  type CapabilitySet,
  type CapabilitySets,
  capabilitySets,
  capabilitySetsWithSecurebits,
  defaults,
  fromBits,
  lastCapability,
  processCapabilities,
  type Securebit,
  securebitsToBits,
  toBits,
} from '../capabilities/index.js'
import type { InitStep } from '../plan/index.js'
import type { CapabilityChange, CapabilityOptions, Configuration } from './configuration.js'
import { hasUserNamespace } from './user-namespace.js'

const setNames = ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'] as const
type SetName = (typeof setNames)[number]

type Told = Configuration['capabilities']

/** A copy whose lists nobody else can change; whether it can be had is looked at by `create()`. */
export function copyCapabilities(told: NonNullable<Told>): NonNullable<Told> {
  if (isSet(told)) return copySet('capabilities', told)
  onlyKeys('capabilities', told, [...setNames, 'add', 'drop', 'securebits'])
  const copy: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(told)) {
    if (value === undefined) continue
    const option = `capabilities.${name}`
    if (setNames.includes(name as SetName)) copy[name] = copySet(option, value)
    else copy[name] = textsOption(option, value)
  }
  if ('add' in copy || 'drop' in copy)
    for (const name of setNames)
      if (name in copy)
        throw conflict(
          `capabilities.${name}`,
          'the sets are given, or what differs from the default',
        )
  for (const name of ['add', 'drop'] as const) bitsOf(name, (copy[name] ?? []) as string[])
  if (copy.securebits !== undefined) checkSecurebits(copy.securebits as Securebit[])
  return copy
}

function copySet(option: string, set: unknown): CapabilitySet {
  if (set === 'all') return set
  const names = textsOption(option, set) as Capability[]
  toBits(option, names)
  return names
}

function checkSecurebits(securebits: readonly Securebit[]): void {
  securebitsToBits('capabilities.securebits', securebits)
  if (securebits.includes('keep_caps'))
    throw invalidOption('capabilities.securebits', 'execve(2) clears keep_caps in any case')
}

const isSet = (told: NonNullable<Told>): told is CapabilitySet =>
  told === 'all' || Array.isArray(told)

/** The five sets of what `capabilities()` was told, or the default. */
export function resolveCapabilities(configuration: Configuration, uid = 0): CapabilitySets {
  const { capabilities: told } = configuration
  const base = () => toBits('capabilities', defaults)
  const all = () => obtainable(configuration).permitted
  return told === undefined ? asInDocker(base(), uid) : resolve(told, uid, base, all)
}

/** `base` is what a change is made to, `all` what is all. */
function resolve(
  told: NonNullable<Told>,
  uid: number,
  base: () => bigint,
  all: () => bigint,
): CapabilitySets {
  const set = (option: string, names: CapabilitySet) =>
    names === 'all' ? all() : toBits(option, names)
  if (isSet(told)) return asInDocker(set('capabilities', told), uid)
  if (!isSets(told)) return asInDocker(changed(told, base, all), uid)
  const bits = (name: SetName) => set(`capabilities.${name}`, told[name] ?? [])
  const sets = {
    bounding: bits('bounding'),
    effective: bits('effective'),
    permitted: bits('permitted'),
    inheritable: bits('inheritable'),
    ambient: bits('ambient'),
  }
  checkSets(sets)
  return sets
}

/** As in Docker: an ordinary user has none, and could get some from a set-user-ID program. */
function asInDocker(bounding: bigint, uid: number): CapabilitySets {
  const own = uid === 0 ? bounding : 0n
  return { bounding, effective: own, permitted: own, inheritable: 0n, ambient: 0n }
}

/** Nothing at all is five empty sets; only securebits leave them as they are by default. */
function isSets(told: CapabilityOptions | CapabilityChange): told is CapabilityOptions {
  return Object.keys(told).length === 0 || setNames.some(name => name in told)
}

/** A set with what `docker run` calls `--cap-add` and `--cap-drop`. */
function changed(
  { add = [], drop = [] }: CapabilityChange,
  base: () => bigint,
  all: () => bigint,
): bigint {
  const isAll = (list: readonly string[]) => list.some(name => ALL.test(name))
  const [addsAll, dropsAll] = [isAll(add), isAll(drop)]
  const [added, dropped] = [bitsOf('add', add), bitsOf('drop', drop)]
  const both = fromBits(added & dropped)
  if (both.length > 0 || (addsAll && dropsAll))
    throw conflict('capabilities.drop', `${both.join(', ') || 'ALL'} can't be added as well`)
  const before = dropsAll ? 0n : addsAll ? all() : base()
  return (before | added) & ~dropped
}

const ALL = /^(CAP_)?ALL$/i

function bitsOf(option: 'add' | 'drop', list: readonly string[]): bigint {
  const named = list.filter(name => !ALL.test(name)) as Capability[]
  return toBits(`capabilities.${option}`, named)
}

/** The kernel's own rules; capset(2), prctl(2) PR_CAP_AMBIENT_RAISE. */
function checkSets(sets: CapabilitySets): void {
  const within = (inner: SetName, outer: SetName) => {
    const missing = fromBits(sets[inner] & ~sets[outer])
    if (missing.length > 0)
      throw conflict(`capabilities.${inner}`, `${missing.join(', ')} must be in ${outer} as well`)
  }
  within('effective', 'permitted')
  within('ambient', 'permitted')
  within('ambient', 'inheritable')
  within('inheritable', 'bounding')
}

/**
 * Refuses capabilities that the kernel does not have, which capset(2) would leave
 * out without a word; and those that this program can't hand on.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED`, `EPERM`.
 */
export function checkCapabilities(configuration: Configuration): void {
  if (configuration.capabilities === undefined) return
  const sets = resolveCapabilities(configuration)
  const asked = sets.bounding | sets.permitted
  const refuse = (code: string, bits: bigint, problem: string, hint?: string) =>
    new CofferdamError(`capabilities: ${fromBits(bits).join(', ')}: ${problem}`, {
      code,
      option: 'capabilities',
      hint,
    })
  const unknown = asked & ~allCapabilities()
  if (unknown !== 0n)
    throw refuse('ERR_UNSUPPORTED', unknown, `the last that this kernel has is ${lastCapability()}`)
  const { permitted, bounding } = obtainable(configuration)
  const lacking = (sets.permitted & ~permitted) | (sets.bounding & ~bounding)
  if (lacking !== 0n)
    throw refuse(
      'EPERM',
      lacking,
      'this program lacks it itself',
      'see CapBnd in /proc/self/status',
    )
}

/** What init can have: everything in a user namespace of its own, otherwise what this program has. */
function obtainable(configuration: Configuration): { permitted: bigint; bounding: bigint } {
  const all = { permitted: allCapabilities(), bounding: allCapabilities() }
  if (hasUserNamespace(configuration)) return all
  const user = process.geteuid?.()
  if (known === undefined || knownFor !== user) {
    known = ofInit() ?? all
    knownFor = user
  }
  return known
}

let known: { permitted: bigint; bounding: bigint } | undefined
let knownFor: number | undefined

/** init is executed, and root gets more by that than it has. Undefined without a proc to ask. */
function ofInit(): { permitted: bigint; bounding: bigint } | undefined {
  try {
    const { permitted, bounding } = afterExec(processCapabilities())
    return { permitted: toBits('permitted', permitted), bounding: toBits('bounding', bounding) }
  } catch {
    return undefined
  }
}

/**
 * What a start sets, before and after the change of user. `own` is what it was told
 * itself, which is within the bounding set of the container, dropped already.
 */
export function capabilitySteps(
  configuration: Configuration,
  uid: number,
  own?: NonNullable<Told>,
): { before: InitStep[]; after: InitStep } {
  const securebits = securebitsOf(own) ?? securebitsOf(configuration.capabilities)
  const set = (sets: CapabilitySets) =>
    securebits === undefined ? capabilitySets(sets) : capabilitySetsWithSecurebits(sets, securebits)
  if (own === undefined) return { before: [], after: set(resolveCapabilities(configuration, uid)) }

  const { bounding: most } = resolveCapabilities(configuration)
  const all = () => most
  const sets = resolve(own, uid, all, all)
  const beyond = fromBits((sets.bounding | sets.permitted) & ~most)
  if (beyond.length > 0)
    throw conflict(
      'capabilities',
      `${beyond.join(', ')}: the bounding set of the container does not have it`,
    )
  return { before: sets.bounding === most ? [] : [boundingSet(sets)], after: set(sets) }
}

function securebitsOf(told: Told): readonly Securebit[] | undefined {
  return told === undefined || isSet(told) ? undefined : told.securebits
}
