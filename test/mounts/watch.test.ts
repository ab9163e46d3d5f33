import { deepStrictEqual } from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mounts, namespaces } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot, rememberTraces, traces } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'

const nothingLeft = await rememberTraces()

/** The next change in short. */
async function next(watch: mounts.MountWatch, folder: string) {
  const { value } = await watch.next()
  if (value === undefined) return undefined
  return [value.type, value.mount.mountPoint.replace(`${folder}/`, ''), value]
}

t.test('mounts, unmounts, moves and changes of another namespace', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  using watch = mounts.watch({ process: pid })
  await sh('mkdir a b')
  const told = async (script: string) => {
    const [change] = await Promise.all([next(watch, folder), sh(script)])
    return change
  }
  t.match(await told('mount -t tmpfs x a'), ['mounted', 'a', { mount: { source: 'x' } }])
  t.match(await told('mount -o remount,bind,ro a'), [
    'changed',
    'a',
    { mount: { options: /^ro/ }, before: { options: /^rw/ } },
  ])
  t.match(await told('mount -o remount,size=64k a'), [
    'changed',
    'a',
    { mount: { superOptions: /size=64k/ } },
  ])
  t.match(await told('mount --move a b'), [
    'moved',
    'b',
    { before: { mountPoint: `${folder}/a`, options: /^ro/ } },
  ])
  t.match(await told('mount -t tmpfs y b'), ['mounted', 'b', { mount: { source: 'y' } }])
  t.match(await told('umount b'), ['unmounted', 'b', { mount: { source: 'y' } }])
  t.match(await told('umount b'), ['unmounted', 'b', { mount: { source: 'x' } }])

  // The kernel need not announce it, but with the next one it is told of.
  await sh('mount -t tmpfs z a')
  t.match(await next(watch, folder), ['mounted', 'a'])
  await sh('mount --make-shared a')
  await sh('mount -t tmpfs end b')
  const changed = await next(watch, folder)
  t.match(changed, ['changed', 'a', { before: { propagation: { unbindable: false } } }])
  t.match(changed?.[2], { mount: { propagation: { shared: Number } } })
  t.match(await next(watch, folder), ['mounted', 'b'])
  t.strictSame(watch.mounts, await mounts.list(pid))
})

t.test('what happens at once comes in order, and is the table in the end', needsRoot, async t => {
  const { pid, sh } = await mountNamespace(t)
  const table = new Map((await mounts.list(pid)).map(mount => [mount.id, mount]))
  const watch = mounts.watch({ process: pid })
  const done = sh(`mkdir a; mount -t tmpfs a a; mkdir $(seq -f a/%g 150)
    for i in $(seq 150); do mount -t tmpfs $i a/$i; done
    for i in $(seq 1 3 150); do umount a/$i; done
    for i in $(seq 2 3 150); do mount -o remount,bind,ro a/$i; done
    mount -t tmpfs end a/1`)
  let count = 0
  for await (const { type, mount } of watch) {
    count++
    const known = table.has(mount.id)
    if (type === 'unmounted') table.delete(mount.id)
    else table.set(mount.id, mount)
    if (known === (type === 'mounted')) t.fail(`${type} ${mount.mountPoint}`)
    if (mount.source === 'end') break
  }
  await done
  const byId = (a: mounts.MountInfo, b: mounts.MountInfo) => a.id - b.id
  t.strictSame([...table.values()].sort(byId), (await mounts.list(pid)).sort(byId))
  t.ok(count > 100)
  t.strictSame(await watch.next(), { done: true, value: undefined }, 'break has ended it')
})

t.test('nothing is missed between the call and the waiting', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir a')
  for (let i = 0; i < 20; i++) {
    using watch = mounts.watch({ process: pid })
    await sh('mount -t tmpfs a a')
    if (i % 2) await sleep(2)
    t.match(await next(watch, folder), ['mounted', 'a'])
    await sh('umount a')
    t.match(await next(watch, folder), ['unmounted', 'a'])
  }
})

t.test('several who wait, and several that watch', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir a b')
  using one = mounts.watch({ process: pid })
  using other = mounts.watch({ process: pid })
  const all = [one, one, other].map(watch => next(watch, folder))
  await sh('mount -t tmpfs a a; mount -t tmpfs b b')
  t.match(await Promise.all(all), [
    ['mounted', 'a'],
    ['mounted', 'b'],
    ['mounted', 'a'],
  ])
})

t.test('it ends with its signal, and closes its descriptor', needsRoot, async t => {
  const { pid } = await mountNamespace(t)
  const before = traces().descriptors
  const controller = new AbortController()
  const watch = mounts.watch({ process: pid, signal: controller.signal })
  t.equal(traces().descriptors, before + 1)
  const waiting = [watch.next(), watch.next()]
  controller.abort()
  t.strictSame(await Promise.all(waiting), Array(2).fill({ done: true, value: undefined }))
  t.strictSame(await watch.next(), { done: true, value: undefined })
  watch.close()
  t.equal(traces().descriptors, before)

  const late = mounts.watch({ signal: controller.signal })
  t.strictSame(await late.next(), { done: true, value: undefined })
  t.equal(traces().descriptors, before)
  t.strictSame(await mounts.watch().return(), { done: true, value: undefined })
  t.equal(traces().descriptors, before)
})

t.test('it outlives the process', needsRoot, async t => {
  const folder = await mountNamespace(t)
  const child = spawn('nsenter', ['--mount', '--target', `${folder.pid}`, 'sleep', '60'])
  // nsenter makes no process of its own: it is in the namespace when it has executed sleep.
  const namespace = (pid: number | undefined) => readlinkSync(`/proc/${pid}/ns/mnt`)
  for (let i = 0; i < 500 && namespace(child.pid) !== namespace(folder.pid); i++) await sleep(2)
  using watch = mounts.watch({ process: child.pid as number })
  child.kill()
  await once(child, 'exit')
  await folder.sh('mkdir a; mount -t tmpfs a a')
  t.match(await next(watch, folder.folder), ['mounted', 'a'])
  t.throws(() => mounts.watch({ process: child.pid as number }), {
    code: 'ENOENT',
    path: `/proc/${child.pid}/mountinfo`,
  })
})

t.test('a table that is opened from inside, whatever is at /proc there', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir hidden; mount -t tmpfs found hidden; mount -t tmpfs fake /proc; mkdir /proc/self')
  await sh('echo lies > /proc/self/mountinfo')
  const table = await namespaces.run({ mount: { pid } }, mounts.openTable())
  t.strictSame(await mounts.list(table), await mounts.list(pid))
  t.equal((await mounts.list(table)).at(-1)?.source, 'fake')
  using watch = mounts.watch({ process: table })
  t.equal(table.fd, -1, 'the watch has it now')
  await sh('umount hidden 2>/dev/null')
  t.match(await next(watch, folder), ['unmounted', 'hidden'])
  await t.rejects(mounts.list(table), { code: 'ERR_INVALID_OPTION', option: 'process' })
})

t.test('what is no table', async t => {
  const before = traces().descriptors
  const file = new namespaces.Descriptor(openSync('/proc/self/stat', 'r'))
  t.throws(() => mounts.watch({ process: file }), { code: 'EPERM' })
  t.equal(traces().descriptors, before)
})

t.test('a program lives as long as it waits', needsRoot, async t => {
  const program = (body: string) =>
    spawn(
      'unshare',
      ['--mount', '--propagation', 'private', process.execPath, '--input-type=module', '-e', body],
      { cwd: new URL('../../..', import.meta.url), stdio: ['pipe', 'pipe', 'inherit'] },
    )
  const preamble = `import { execFileSync } from 'node:child_process'
    import { mounts, namespaces } from 'cofferdam'
    const watch = mounts.watch()`
  const idle = program(`${preamble}; console.log('watching')`)
  t.strictSame(await once(idle, 'exit'), [0, null], 'nobody waits')

  const waiting = program(`${preamble}
    setTimeout(() => execFileSync('mount', ['-t', 'tmpfs', 'x', '/tmp']), 50).unref()
    setTimeout(() => {}, 40)
    const { value } = await watch.next()
    console.log(value.type, value.mount.mountPoint)`)
  let printed = ''
  waiting.stdout.on('data', chunk => {
    printed += chunk
  })
  const [code] = await once(waiting, 'close')
  t.equal(code, 0)
  t.equal(printed, 'mounted /tmp\n', 'its own mounts')
})

t.test('what can’t be', async t => {
  for (const [options, option] of [
    [{ process: 0 }, 'process'],
    [{ pid: 1 }, 'watch.pid'],
    [{ signal: {} }, 'watch.signal'],
  ] as const)
    t.throws(() => mounts.watch(options as object), { code: 'ERR_INVALID_OPTION', option })
  t.throws(() => mounts.watch({ process: 2 ** 22 + 1 }), { code: 'ENOENT', syscall: 'open' })
})

t.test('differences lead from one table to the other', async t => {
  const line = (id: number, parent: number, minor: number, point: string, options: string) =>
    mounts.parseMountInfo(`${id} ${parent} 0:${minor} / ${point} ${options} - a b c`)
  const table = fc
    .uniqueArray(
      fc.record({
        id: fc.nat(12),
        parent: fc.nat(3),
        minor: fc.nat(2),
        point: fc.constantFrom('/', '/a', '/b'),
        options: fc.constantFrom('rw', 'ro', 'rw shared:1'),
      }),
      { selector: ({ id }) => id },
    )
    .map(list => list.flatMap(m => line(m.id, m.parent, m.minor, m.point, m.options)))
  fc.assert(
    fc.property(table, table, (before, after) => {
      const mounted = new Map(before.map(mount => [mount.id, mount]))
      for (const change of mounts.differences(before, after)) {
        const { type, mount } = change
        if (type === 'mounted' && mounted.has(mount.id)) throw new Error('it is there already')
        if ('before' in change) deepStrictEqual(mounted.get(mount.id), change.before)
        if (type === 'unmounted') mounted.delete(mount.id)
        else mounted.set(mount.id, mount)
      }
      deepStrictEqual(new Set(mounted.values()), new Set(after))
    }),
  )
  const list = line(1, 0, 1, '/', 'rw')
  t.strictSame(mounts.differences(list, list), [])
  // Another one that got the number.
  t.match(mounts.differences(list, line(1, 0, 2, '/', 'rw')), [
    { type: 'unmounted', mount: { minor: 1 } },
    { type: 'mounted', mount: { minor: 2 } },
  ])
})

t.test('nothing is left', needsRoot, nothingLeft)
