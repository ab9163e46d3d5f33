import { Container } from '../container/index.js'
import { overlay } from '../mounts/index.js'
import { capabilities } from './capabilities.js'
import { cgroups } from './cgroups.js'
import { gatherFacts } from './facts.js'
import { ids } from './ids.js'
import { mounts } from './mounts.js'
import { namespaces } from './namespaces.js'
import { network } from './network.js'
import { processes } from './process.js'
import type { Check, Report } from './report.js'
import { filters } from './seccomp.js'
import { carryOut, describe, hintOf, type Trial } from './trial.js'

/** How many are tried at once. */
const WIDTH = 4

/** In the order of the report. */
const subjects = [processes, namespaces, ids, mounts, cgroups, network, filters, capabilities]

/**
 * Finds what this kernel lets this user do, by trying it: each check makes the
 * system calls in question in a short-lived process, whose end takes everything
 * back. Nothing is changed but for a moment (an empty cgroup), and what the
 * kernel loads a module for stays loaded.
 *
 * Takes a fraction of a second; a check that hangs is given up after two.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` anywhere but on Linux, or where the
 * addon can't be loaded. What fails otherwise is in the report.
 */
export async function doctor(): Promise<Report> {
  const begin = performance.now()
  const queue = subjects.flatMap(subject => {
    const { group, trials } = subject()
    return trials.map(trial => ({ group, trial }))
  })
  const checks: Check[] = new Array(queue.length)
  let next = 0
  const work = async () => {
    for (let i = next++; i < queue.length; i = next++) {
      const { group, trial } = queue[i] as { group: string; trial: Trial }
      checks[i] = await carryOut(group, trial)
    }
  }
  await Promise.all(Array.from({ length: WIDTH }, work))
  const last = await defaultContainer()
  checks.push(last)
  return {
    ok: last.ok === true,
    facts: await gatherFacts(),
    checks,
    milliseconds: Math.round(performance.now() - begin),
  }
}

/** All of it together. */
async function defaultContainer(): Promise<Check> {
  const check = { group: 'container', name: 'a default container' }
  const signal = AbortSignal.timeout(5000)
  try {
    const box = await new Container().rootfs(overlay({ lower: ['/'] })).create({ signal })
    const giveUp = () => void box.kill('SIGKILL').catch(() => undefined)
    signal.addEventListener('abort', giveUp)
    try {
      const main = await box.start(['true'], { stdio: 'ignore' })
      const { exitCode } = await main.exited
      if (exitCode === 0) return { ...check, ok: true }
      return { ...check, ok: false, detail: `true ended with ${exitCode}` }
    } finally {
      signal.removeEventListener('abort', giveUp)
      await box.delete()
    }
  } catch (error) {
    const hint = hintOf(error)
    const remedy = hint === undefined ? {} : { remedy: hint }
    return { ...check, ok: false, error: describe(error), ...remedy }
  }
}
