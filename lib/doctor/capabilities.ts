import { type CapabilityName, defaults, processCapabilities } from '../capabilities/index.js'
import { call, dropBounding, named, step } from '../plan/index.js'
import { noNewPrivilegesStep } from '../process/index.js'
import type { Finding, Group } from './trial.js'

/** What this program has in effect; undefined where there is no proc to ask. */
export function ownCapabilities(): CapabilityName[] | undefined {
  try {
    return processCapabilities().effective
  } catch {
    return undefined
  }
}

/** A container can have what its maker has, and no more. */
async function forContainers(): Promise<Finding | undefined> {
  const own = ownCapabilities()
  if (own === undefined) return { ok: 'partly', detail: 'there is no /proc to ask' }
  const missing = defaults.filter(name => !own.includes(name))
  if (missing.length === 0) return { detail: `${own.length} in all` }
  return {
    ok: missing.length === defaults.length ? false : 'partly',
    detail: `lacks ${missing.join(' ')}`,
    remedy: 'run as root; or in a user namespace, where all are to be had',
  }
}

const PR_CAP_AMBIENT = named('PR_CAP_AMBIENT', 47)
const PR_CAP_AMBIENT_CLEAR_ALL = named('PR_CAP_AMBIENT_CLEAR_ALL', 4)

/** What root is divided into. */
export function capabilities(): Group {
  return {
    group: 'capabilities',
    trials: [
      { name: 'what a container gets', nested: false, try: forContainers },
      {
        name: 'limit what can be gained',
        try: [step('bounding set', dropBounding(named('none', 0)))],
        remedy: 'needs CAP_SETPCAP',
      },
      {
        name: 'no_new_privs',
        nested: false,
        try: [noNewPrivilegesStep()],
      },
      {
        name: 'ambient set',
        nested: false,
        try: [step('ambient', call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0]))],
      },
    ],
  }
}
