// Tasks, hierarchies and subsystems: node out/examples/hierarchies.js
//
// The rules that hold between them, cgroups(7), each shown by keeping or breaking it. All of it
// happens in a mount namespace of its own, where hierarchies are mounted and unmounted again.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CofferdamError, cgroups, mounts, namespaces, tmpfs } from 'cofferdam'

const { Cgroup } = cgroups
const JOBS = `cofferdam-jobs-${process.pid}`
const LIMIT = 'cofferdam-rules'

/** What an error says, without what was done about it. */
const refused = (error: unknown) => {
  if (!(error instanceof CofferdamError)) throw error
  return `refused, ${error.code}`
}

/** The groups of a process in some hierarchies, as `/proc/PID/cgroup` has them. */
async function groupsOf(pid: number, ...names: string[]): Promise<string> {
  const all = await cgroups.membership(pid)
  const own = all.filter(({ controllers }) => controllers.some(one => names.includes(one)))
  return own.map(({ controllers, path }) => `${controllers.join()}:${path}`).join('  ')
}

async function withProcess(
  argv: string[],
  use: (child: ChildProcess & { pid: number }) => unknown,
) {
  const child = spawn(argv[0] as string, argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  await once(child.stdout, 'data')
  try {
    await use(child as ChildProcess & { pid: number })
  } finally {
    child.kill('SIGKILL')
    await closed
  }
}

const version1 = (target: string, hierarchy: mounts.CgroupHierarchy) =>
  mounts.apply([mounts.directory(target), mounts.cgroup(target, { hierarchy, readonly: false })])

/** A hierarchy has any number of subsystems, and each of them is in one hierarchy. */
async function subsystems(): Promise<void> {
  console.log('a hierarchy may have several subsystems, or none and a name')
  await version1('/mnt/jobs', { name: JOBS })
  console.log(`  ${JOBS}: mounted`)
  const both = ['net_cls', 'net_prio']
  try {
    await version1('/mnt/both', { controllers: both })
    console.log(`  ${both.join()}: mounted`)
  } catch (error) {
    return console.log(`  ${both.join()}: ${refused(error)}: not in this kernel, or in use`)
  }
  try {
    console.log('\na subsystem is in one hierarchy: mounted again it is the same one')
    await version1('/mnt/again', { controllers: both })
    const inBoth = await Cgroup.create(`/${LIMIT}`, { controllers: ['net_cls'] })
    console.log(`  made in one, seen in the other: ${readdirSync('/mnt/again').includes(LIMIT)}`)
    await version1('/mnt/alone', { controllers: ['net_cls'] }).catch(error =>
      console.log(`  without the other subsystem: ${refused(error)}`),
    )
    await inBoth.delete()
    await mounts.apply([mounts.unmount('/mnt/again')])
  } finally {
    await mounts.removeHierarchy('/mnt/both')
  }
}

/** A task is in exactly one group of each hierarchy, and its children begin there. */
async function tasks(): Promise<void> {
  const options = { controllers: [`name=${JOBS}`] }
  const [day, night] = [
    await Cgroup.create('/day', options),
    await Cgroup.create('/night', options),
  ]
  const where = (pid: number) => groupsOf(pid, `name=${JOBS}`)
  const script = 'echo; while read x; do sleep 60 & echo $!; done'
  await withProcess(['sh', '-c', script], async shell => {
    console.log('\na new hierarchy has all tasks in its root')
    console.log(`  ${await where(shell.pid)}`)
    console.log('\na task is in one group of a hierarchy: in another one it leaves the first')
    await day.add(shell.pid)
    console.log(`  ${await where(shell.pid)}`)
    await night.add(shell.pid)
    console.log(`  ${await where(shell.pid)}; left in /day: ${(await day.processes()).length}`)
    console.log('\na child begins in the groups of its parent, and then goes its own way')
    shell.stdin?.write('\n')
    const [line] = (await once(shell.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    const child = Number(line.toString())
    console.log(`  child  ${await where(child)}`)
    await day.add(child)
    console.log(`  child  ${await where(child)}\n  parent ${await where(shell.pid)}`)
    await day.delete()
    await night.delete()
  })
  await mounts.removeHierarchy('/mnt/jobs')
  const left = (await cgroups.membership()).filter(({ controllers }) =>
    controllers.includes(`name=${JOBS}`),
  )
  console.log(`\nunmounted, without groups in it, the hierarchy is gone: ${left.length === 0}`)
}

/** Version 2: one hierarchy for all, processes in its leaves, threads only where they are wanted. */
async function unified(): Promise<void> {
  await mounts.apply([
    mounts.directory('/mnt/unified'),
    mounts.cgroup('/mnt/unified', { hierarchy: 'unified', readonly: false }),
  ])
  const { hierarchies } = await cgroups.layout()
  const here = hierarchies.find(({ version }) => version === 2)
  const controller = here?.controllers.find(name => !['cpu', 'cpuset', 'pids'].includes(name))
  await using top = await Cgroup.create(`/${LIMIT}`, { controllers: [] })
  const node = ['node', '-e', 'console.log(1); setInterval(() => {}, 1000)']
  await withProcess(node.with(0, process.execPath), async child => {
    await top.add(child.pid)
    if (controller !== undefined) {
      console.log('\nversion 2: a group with processes hands on no subsystem')
      await Cgroup.create(`${top.path}/below`, { controllers: [controller] }).catch(error =>
        console.log(`  ${controller} for one below: ${refused(error)}`),
      )
    }
    console.log('\nversion 2: threads of a process may be apart, in groups of threads')
    const tid = Number(readdirSync(`/proc/${child.pid}/task`)[1])
    const plain = await Cgroup.create(`${top.path}/plain`, { controllers: [] })
    await plain.addThread(tid).catch(error => console.log(`  in another group: ${refused(error)}`))
    await plain.delete()
    const threads = await Cgroup.create(`${top.path}/threads`, {
      controllers: [],
      threaded: true,
    })
    await threads.addThread(tid)
    console.log(
      `  in a group of threads: ${(await threads.threads()).length}, beside ${(await top.threads()).length - 1 > 0 ? 'the others' : 'none'}`,
    )
    await top.kill()
  })
}

if (process.argv[2] === 'inside') {
  await mounts.apply([tmpfs('/mnt')])
  await subsystems()
  await tasks()
  await unified()
} else {
  const argv = [process.execPath, fileURLToPath(import.meta.url), 'inside']
  const inside = await namespaces.spawn(argv, { unshare: ['mount'], stdio: 'inherit' })
  process.exitCode = (await inside.exited).exitCode ?? 1
}
