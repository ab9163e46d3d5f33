// Programs that want all processors, held at half of one: node out/examples/cpu-hog.js
//
// A quota is time that all threads of a group may run for together in each period, here
// 50 ms of 100; whoever has used it up waits for the next. A weight is something else:
// it counts only while others want the same processor, and takes nothing away otherwise.
import { CofferdamError, namespaces } from 'cofferdam'
import { Cgroup } from 'cofferdam/cgroups'

const HOG = ['sh', '-c', 'while :; do :; done']

/** How many processors groups have, over a time. */
async function measure(seconds: number, ...groups: Cgroup[]): Promise<number[]> {
  const usage = () =>
    Promise.all(groups.map(async group => (await group.stats()).cpu?.usage ?? Number.NaN))
  const [begin, before] = [performance.now(), await usage()]
  await new Promise(resolve => setTimeout(resolve, seconds * 1000))
  const [after, end] = [await usage(), performance.now()]
  return after.map((time, i) => (time - (before[i] ?? 0)) / 1000 / (end - begin))
}

const show = (what: string, cpus: number | undefined) =>
  console.log(`${what.padEnd(28)}${(cpus ?? 0).toFixed(2)} processors`)

try {
  // Other programs on this machine should not be what holds them back. A weight counts
  // among the groups beside it, so this one is right below the topmost.
  await using all = await Cgroup.create('/cpu-hog', { limits: { cpu: { weight: 10_000 } } })
  const group = await Cgroup.create(`${all.path}/limited`)
  for (let i = 0; i < 2; i++) await namespaces.spawn(HOG, { cgroup: group, stdio: 'ignore' })
  show('two hogs, without a limit', (await measure(1, group))[0])
  await group.set({ cpus: 0.5 })
  show('cpus: 0.5', (await measure(2, group))[0])
  const { cpu } = await group.stats()
  console.log(`held back in ${cpu?.throttledPeriods} periods of ${cpu?.periods}`)
  await group.delete() // and all in it

  // Two more on one processor, and one of them has three times the weight.
  const light = await Cgroup.create(`${all.path}/light`)
  const heavy = await Cgroup.create(`${all.path}/heavy`, { limits: { cpu: { weight: 300 } } })
  const pinned = ['taskset', '-c', '0', ...HOG]
  for (const one of [light, heavy]) await namespaces.spawn(pinned, { cgroup: one, stdio: 'ignore' })
  const [less, more] = await measure(2, light, heavy)
  show('weight: 100', less)
  show('weight: 300', more)
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
