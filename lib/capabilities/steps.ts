import { objectOption } from '../base/index.js'
import {
  call,
  dropBounding,
  type InitStep,
  type Named,
  named,
  type Operation,
  step,
} from '../plan/index.js'
import { fromBits, numberOf, toBits } from './names.js'
import { type Securebit, securebitsToBits } from './securebits.js'

/** The sets of a process that starts, bit by number. */
export interface CapabilitySets {
  bounding: bigint
  effective: bigint
  permitted: bigint
  inheritable: bigint
  ambient: bigint
}

function printSet(bits: bigint): Named {
  const set = fromBits(bits)
  return named(set.length === 0 ? 'none' : set.join('|'), bits)
}

/**
 * Limits what any later execve could gain. Must come while init is still
 * privileged. prctl(2) PR_CAPBSET_DROP; `EPERM` without CAP_SETPCAP.
 */
export function boundingSet(sets: Pick<CapabilitySets, 'bounding'>): InitStep {
  objectOption('sets', sets)
  return step('bounding set', dropBounding(printSet(sets.bounding)))
}

const PR_CAPBSET_DROP = named('PR_CAPBSET_DROP', 24)

/**
 * Takes capabilities, bit by number, out of the bounding set, one by one, and
 * leaves all others. prctl(2) PR_CAPBSET_DROP; `EPERM` without CAP_SETPCAP, `EINVAL`
 * for one that the kernel does not have. Equivalent to: `capsh --drop=…`
 */
export function dropFromBounding(bits: bigint): InitStep {
  return step(
    'bounding set',
    ...each(bits).map(capability => call('prctl', [PR_CAPBSET_DROP, capability, 0, 0, 0])),
  )
}

const PR_SET_SECUREBITS = named('PR_SET_SECUREBITS', 28)

/**
 * Sets the securebits, all of them. prctl(2) PR_SET_SECUREBITS; `EPERM` without
 * CAP_SETPCAP, or when one that is locked would change. Equivalent to:
 * `setpriv --securebits=…`
 */
export function securebitsStep(securebits: readonly Securebit[]): InitStep {
  const number = securebitsToBits('securebits', securebits)
  const bits = named(securebits.join('|') || '0', number)
  return step('securebits', call('prctl', [PR_SET_SECUREBITS, bits, 0, 0, 0]))
}

/** The capabilities of a set, each as an argument. */
function each(bits: bigint): Named[] {
  return fromBits(bits).map(name => named(`CAP_${name}`, numberOf(name) as number))
}

const PR_SET_KEEPCAPS = named('PR_SET_KEEPCAPS', 8)
const PR_CAP_AMBIENT = named('PR_CAP_AMBIENT', 47)
const PR_CAP_AMBIENT_RAISE = named('PR_CAP_AMBIENT_RAISE', 2)
const PR_CAP_AMBIENT_LOWER = named('PR_CAP_AMBIENT_LOWER', 3)
const PR_CAP_AMBIENT_CLEAR_ALL = named('PR_CAP_AMBIENT_CLEAR_ALL', 4)

function ambient(change: Named, bits: bigint): Operation[] {
  return each(bits).map(capability => call('prctl', [PR_CAP_AMBIENT, change, capability, 0, 0]))
}

/**
 * Adds capabilities, bit by number, to the ambient set. prctl(2)
 * PR_CAP_AMBIENT_RAISE; `EPERM` for one that is not both permitted and inheritable,
 * or with the securebit `no_cap_ambient_raise`. Equivalent to: `capsh --addamb=…`
 */
export function raiseAmbient(bits: bigint): InitStep {
  return step('ambient set', ...ambient(PR_CAP_AMBIENT_RAISE, bits))
}

/** Takes capabilities out of it. prctl(2) PR_CAP_AMBIENT_LOWER. Equivalent to: `capsh --delamb=…` */
export function lowerAmbient(bits: bigint): InitStep {
  return step('ambient set', ...ambient(PR_CAP_AMBIENT_LOWER, bits))
}

/** Empties it. prctl(2) PR_CAP_AMBIENT_CLEAR_ALL. Equivalent to: `capsh --noamb` */
export function clearAmbient(): InitStep {
  return step('ambient set', call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0]))
}

/** Lets the permitted set survive the change to another user, until execve. */
export function keepCapabilities(): Operation {
  return call('prctl', [PR_SET_KEEPCAPS, 1, 0, 0, 0])
}

/**
 * Sets effective, permitted and inheritable set, and raises the ambient one.
 * Comes after the change of user. capset(2), prctl(2) PR_CAP_AMBIENT;
 * `EPERM` for a capability that this process itself lacks.
 *
 * Unless the caller asks for ambient capabilities the inheritable set stays
 * empty, so that a file's inheritable bits give nothing (CVE-2022-29162).
 */
export function capabilitySets(sets: CapabilitySets): InitStep {
  objectOption('sets', sets)
  return step('capabilities', capset(sets), ...ambient(PR_CAP_AMBIENT_RAISE, sets.ambient))
}

const SETPCAP = toBits('capabilities', ['SETPCAP'])

/**
 * The same, and sets securebits. They take CAP_SETPCAP, which the sets may lack or
 * the change of user has put out of effect; and may forbid to raise the ambient set.
 */
export function capabilitySetsWithSecurebits(
  sets: CapabilitySets,
  securebits: readonly Securebit[],
): InitStep {
  objectOption('sets', sets)
  return step(
    'capabilities',
    capset({ ...sets, effective: SETPCAP, permitted: sets.permitted | SETPCAP }),
    ...ambient(PR_CAP_AMBIENT_RAISE, sets.ambient),
    ...securebitsStep(securebits).operations,
    capset(sets),
  )
}

/** Sets the three sets of the process that carries it out. capset(2) */
function capset(sets: CapabilitySets): Operation {
  const text = (['effective', 'permitted', 'inheritable'] as const)
    .map(name => `${name}: ${printSet(sets[name]).text}`)
    .join(', ')
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x20080522, 0) // _LINUX_CAPABILITY_VERSION_3
  const data = Buffer.alloc(24)
  for (const [i, set] of [sets.effective, sets.permitted, sets.inheritable].entries()) {
    data.writeUInt32LE(Number(set & 0xffffffffn), 4 * i)
    data.writeUInt32LE(Number(set >> 32n), 12 + 4 * i)
  }
  return call('capset', [
    { bytes: header, text: '{_LINUX_CAPABILITY_VERSION_3, 0}' },
    { bytes: data, text: `{${text}}` },
  ])
}
