import {
  call,
  dropBounding,
  type InitStep,
  type Named,
  named,
  type Operation,
  step,
} from '../plan/index.js'
import { fromBits, names } from './names.js'

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
export function boundingSet(sets: CapabilitySets): InitStep {
  return step('bounding set', dropBounding(printSet(sets.bounding)))
}

const PR_SET_KEEPCAPS = named('PR_SET_KEEPCAPS', 8)
const PR_CAP_AMBIENT = named('PR_CAP_AMBIENT', 47)
const PR_CAP_AMBIENT_RAISE = named('PR_CAP_AMBIENT_RAISE', 2)

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
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x20080522, 0) // _LINUX_CAPABILITY_VERSION_3
  const data = Buffer.alloc(24)
  for (const [i, set] of [sets.effective, sets.permitted, sets.inheritable].entries()) {
    data.writeUInt32LE(Number(set & 0xffffffffn), 4 * i)
    data.writeUInt32LE(Number(set >> 32n), 12 + 4 * i)
  }
  const text = (['effective', 'permitted', 'inheritable'] as const)
    .map(name => `${name}: ${printSet(sets[name]).text}`)
    .join(', ')
  const ambient = fromBits(sets.ambient).map(name =>
    call('prctl', [
      PR_CAP_AMBIENT,
      PR_CAP_AMBIENT_RAISE,
      named(`CAP_${name}`, names.indexOf(name)),
      0,
      0,
    ]),
  )
  return step(
    'capabilities',
    call('capset', [
      { bytes: header, text: '{_LINUX_CAPABILITY_VERSION_3, 0}' },
      { bytes: data, text: `{${text}}` },
    ]),
    ...ambient,
  )
}
