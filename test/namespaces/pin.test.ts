import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { namespaces } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import { inMounts, kernelKinds, timeFlag } from '../support/processes.js'

const nothingLeft = await rememberTraces()

t.test('a pinned namespace outlives its processes, until it is unpinned', needsRoot, async t => {
  for (const propagation of ['private', 'shared'] as const) {
    const [before, pinned, name, shown, none] = await inMounts(
      t,
      propagation,
      `
      const { pid, end } = await hold('--uts')
      say(namespaces.identify('uts', { pid }))
      await pin('uts', { pid }, at)
      await end()
      say(namespaces.identify('uts', at))
      output('nsenter', '--uts=' + at, 'hostname', 'pinned')
      say(output('nsenter', '--uts=' + at, 'hostname'))
      say(output('findmnt', '--noheadings', '--output', 'FSTYPE', '--mountpoint', at))
      await unpin(at)
      say(existsSync(at) || readFileSync('/proc/self/mountinfo', 'utf8').includes(at))`,
    )
    t.same(pinned, before)
    t.equal(name, 'pinned')
    t.equal(shown, 'nsfs')
    t.equal(none, false)
  }
})

t.test('every kind, by path and descriptor as well', needsRoot, async t => {
  const kinds = kernelKinds.filter(kind => kind !== 'mount' && kind !== 'pid')
  const [all, ...others] = await inMounts(
    t,
    'private',
    `
    const { pid, end } = await hold('--cgroup', '--ipc', '--net', '--user', '--uts', ${timeFlag.map(flag => `'${flag}'`)})
    const all = []
    for (const kind of ${JSON.stringify(kinds)}) {
      const path = namespaces.pathOf(kind, pid)
      await pin(kind, path, at)
      all.push(namespaces.same(kind, at, { pid }))
      await unpin(at)
      const open = namespaces.open(kind, { pid })
      await pin(kind, open, at)
      open.close()
      all.push(namespaces.same(kind, at, { pid }))
      await unpin(at)
    }
    say(all)
    await end()
    const child = await namespaces.spawn(['sleep', '60'], { unshare: ['pid'], stdio: 'ignore' })
    await pin('pid', child, at)
    say(namespaces.typeOf(at))
    say(namespaces.same('pid', at, child))
    await child.kill('SIGKILL')
    await child.exited
    await unpin(at)`,
  )
  t.same(
    all,
    kinds.flatMap(() => [true, true]),
  )
  t.same(others, ['pid', true])
})

t.test('a mount namespace, where the kernel lets it be pinned', needsRoot, async t => {
  const body = `
    // Since Linux 6.18 they are numbered by each processor on its own, so that a newer
    // one may be an older one to the kernel.
    const number = pid => {
      try { return namespaces.mountNamespaceId({ pid }) } catch { return BigInt(pid) }
    }
    let { pid, end } = await hold('--mount', '--propagation', 'unchanged')
    while (number(pid) <= number(process.pid)) {
      await end()
      ;({ pid, end } = await hold('--mount', '--propagation', 'unchanged'))
    }
    try {
      await pin('mount', { pid }, at)
      say(namespaces.same('mount', at, { pid }))
      await unpin(at)
    } catch (error) { say(told(error)) }
    try { await pin('mount', { pid: process.pid }, at) } catch (error) { say(told(error)) }
    await end()`
  const hint = /older, and on a private mount/
  const own = { code: 'ELOOP', step: 'pin', hint }
  t.match(await inMounts(t, 'private', body), [true, own])
  t.match(await inMounts(t, 'shared', body), [{ code: 'EINVAL', step: 'pin', hint }, own])
})

t.test('ip netns knows what is pinned, and its names can be unpinned', needsRoot, async t => {
  const [listed, same, without, gone] = await inMounts(
    t,
    'private',
    `
    output('mount', '-t', 'tmpfs', 'none', '/run')
    output('ip', 'netns', 'add', 'red')
    const { pid, end } = await hold('--net')
    await pin('network', { pid }, '/run/netns/blue')
    say(output('ip', 'netns', 'list').split('\\n').map(line => line.split(' ')[0]))
    output('ip', 'netns', 'exec', 'blue', 'ip', 'link', 'set', 'lo', 'up')
    say(namespaces.same('network', '/run/netns/blue', { pid }))
    await end()
    await unpin('/run/netns/red')
    say(output('ip', 'netns', 'list').split('\\n').map(line => line.split(' ')[0]))
    output('ip', 'netns', 'delete', 'blue')
    say(existsSync('/run/netns/blue'))`,
  )
  t.same(listed.sort(), ['blue', 'red'])
  t.equal(same, true)
  t.same(without, ['blue'])
  t.equal(gone, false)
})

t.test('a file that has been there is left, unless it is empty', needsRoot, async t => {
  const [text] = await inMounts(
    t,
    'private',
    `
    const { writeFileSync, unlinkSync } = await import('node:fs')
    writeFileSync(at, 'precious')
    await pin('uts', { pid: process.pid }, at)
    await unpin(at)
    say(readFileSync(at, 'utf8'))
    unlinkSync(at)`,
  )
  t.equal(text, 'precious')
})

t.test('what is in the way is refused, and nothing is left', needsRoot, async t => {
  const [twice, still, atOnce, missing, none] = await inMounts(
    t,
    'private',
    `
    await pin('uts', { pid: process.pid }, at)
    try { await pin('uts', { pid: process.pid }, at) } catch (error) { say(told(error)) }
    say(namespaces.typeOf(at))
    await unpin(at)
    const all = Array.from({ length: 10 }, () => pin('uts', { pid: process.pid }, at))
    const settled = await Promise.allSettled(all)
    say(settled.map(({ status, reason }) => reason?.code ?? status))
    await unpin(at)
    try { await unpin(at) } catch (error) { say(told(error)) }
    try { await unpin('/proc/self/ns/uts') } catch (error) { say(told(error)) }`,
  )
  t.match(twice, { code: 'EEXIST' })
  t.equal(still, 'uts')
  t.same(atOnce, ['fulfilled', ...new Array(9).fill('EEXIST')])
  t.match(missing, { code: 'ENOENT' })
  t.match(none, { code: 'EINVAL', path: '/proc/self/ns/uts' })

  const { pin, unpin } = namespaces
  const folder = scratch(t)
  const uts = { pid: process.pid }
  mkdirSync(join(folder, 'folder'))
  symlinkSync('elsewhere', join(folder, 'link'))
  writeFileSync(join(folder, 'file'), '')
  await t.rejects(pin('uts', uts, join(folder, 'folder')), { code: 'EISDIR' })
  await t.rejects(pin('uts', uts, join(folder, 'link')), { code: 'ELOOP' })
  await t.rejects(pin('uts', uts, join(folder, 'no', 'file')), { code: 'ENOENT', option: 'path' })
  await t.rejects(pin('uts', { pid: 4_194_304 }, join(folder, 'new')), { code: 'ESRCH' })
  await t.rejects(pin('uts', '/proc/self/ns/net', join(folder, 'new')), {
    code: 'ERR_INVALID_OPTION',
    option: 'namespace',
  })
  await t.rejects(pin('uts', uts, ''), { code: 'ERR_INVALID_OPTION', option: 'path' })
  await t.rejects(unpin(join(folder, 'file')), { code: 'EINVAL' })
  t.same(readdirSync(folder).sort(), ['file', 'folder', 'link'])
})

t.test('nothing is left behind', needsContainers, nothingLeft)
