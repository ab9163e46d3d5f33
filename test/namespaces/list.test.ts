import { readlinkSync } from 'node:fs'
import { namespaces } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { nativeFacts } from '#lib/base/index.js'
import { nsfsMounts } from '#lib/namespaces/list.js'
import { needsContainers, needsRoot, rememberTraces } from '../support/index.js'
import { inMounts, kernelKinds, needsTime, output, sleeper } from '../support/processes.js'
import { asUser, USER } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()
const { identify, list } = namespaces
const kinds = kernelKinds

/** The entry of the namespace that a process is in. */
async function entryOf(kind: namespaces.NamespaceKind, pid: number) {
  const { inode } = identify(kind, { pid })
  return (await list({ kinds: [kind] })).find(entry => entry.inode === inode)
}

t.test('who is in each, and what they run', needsRoot, async t => {
  const flags = ['--mount', '--uts', '--ipc', '--net', '--cgroup']
  const { pid } = await sleeper(t, 'unshare', ...flags)
  const { pid: second } = await sleeper(t, 'nsenter', `--net=/proc/${pid}/ns/net`)
  const initial = identify('user').inode
  for (const kind of ['mount', 'uts', 'ipc', 'network', 'cgroup'] as const)
    t.match(await entryOf(kind, pid), {
      kind,
      pids: kind === 'network' ? [pid, second] : [pid],
      command: 'sleep 600',
      owner: initial,
      ownerUid: undefined,
      parent: undefined,
      forChildrenOf: [],
      pinnedAt: [],
    })
  for (const kind of kinds) {
    const entry = await entryOf(kind, process.pid)
    t.ok(entry?.pids.includes(process.pid), kind)
    t.equal(entry?.pids.includes(pid), ['user', 'pid', 'time'].includes(kind), kind)
    t.same(
      entry?.pids,
      [...(entry?.pids ?? [])].sort((a, b) => a - b),
    )
  }
})

t.test('lsns says the same, where nobody else comes and goes', needsRoot, async t => {
  const [ours, theirs] = await inMounts(
    t,
    'private',
    `
    const holds = [await hold('--mount', '--user', '--net'), await hold('--uts', '--ipc')]
    say((await namespaces.list()).filter(({ pids }) => pids.length > 0).map(({ kind, inode, pids }) =>
      [namespaces.kinds[kind].file, inode, pids.length, pids[0]].join(' ')).sort())
    const { namespaces: all } = JSON.parse(output('lsns', '--json', '--output', 'NS,TYPE,NPROCS,PID'))
    // It counts itself, where this program is too.
    say(all.map(({ ns, type, nprocs, pid }) => [type, ns, nprocs - (pid === 1), pid].join(' ')).sort())
    for (const { end } of holds) await end()`,
    ['--pid', '--fork', '--mount-proc'],
  )
  t.same(ours, theirs)
  t.ok((ours as string[]).length >= kernelKinds.length + 5, `${(ours as string[]).length}`)
})

t.test('parents and owners, also those without a process', needsRoot, async t => {
  const user = ['setpriv', '--reuid=61234', '--regid=61235', '--clear-groups']
  const nested = ['unshare', '--user', '--map-root-user', 'unshare', '--user', '--net']
  const { pid } = await sleeper(t, ...user, ...nested)
  const all = await list()
  const of = (kind: namespaces.NamespaceKind, inode: number | undefined) =>
    all.find(entry => entry.kind === kind && entry.inode === inode)
  const inner = of('user', identify('user', { pid }).inode)
  t.match(inner, { pids: [pid], owner: inner?.parent })
  const outer = of('user', inner?.parent)
  t.match(outer, { pids: [], command: undefined, parent: identify('user').inode, ownerUid: 61_234 })
  t.equal(of('network', identify('network', { pid }).inode)?.owner, inner?.inode)

  const { pid: unsharing } = await sleeper(t, 'unshare', '--pid', '--fork', '--kill-child')
  const pids = await output('pgrep', '-P', `${unsharing}`)
  const first = await entryOf('pid', Number(pids))
  t.equal(first?.parent, identify('pid').inode)
  t.same(first?.forChildrenOf, [unsharing])
})

t.test('those that wait for a child', needsTime, async t => {
  const { pid } = await sleeper(t, 'unshare', '--time')
  const link = () => readlinkSync(`/proc/${pid}/ns/time`)
  const forChildren = readlinkSync(`/proc/${pid}/ns/time_for_children`)
  const inode = Number(/\d+/.exec(forChildren)?.[0])
  const entry = (await list({ kinds: ['time'] })).find(one => one.inode === inode)
  // In newer kernels an execve leads into it.
  if (link() === forChildren) t.match(entry, { pids: [pid], forChildrenOf: [] })
  else t.match(entry, { pids: [], forChildrenOf: [pid] })
  const waiting = await sleeper(t, 'perl', '-e', WAITS)
  const made = readlinkSync(`/proc/${waiting.pid}/ns/time_for_children`)
  t.not(made, readlinkSync(`/proc/${waiting.pid}/ns/time`))
  t.match(
    (await list({ kinds: ['time'] })).find(one => made === `time:[${one.inode}]`),
    { pids: [], forChildrenOf: [waiting.pid] },
  )
})

/** Makes a time namespace, and does not go into it. unshare(2) */
const WAITS = `syscall(${nativeFacts().syscalls.unshare}, 0x80) == 0 or die $!; $| = 1; print "ready\\n"; sleep 600; #`

t.test('those that are pinned, wherever they are', needsRoot, async t => {
  const [entry, entries] = await inMounts(
    t,
    'private',
    `
    const strange = folder + '/with space\\n\\u00e9\\\\'
    const { pid, end } = await hold('--net')
    const { inode } = namespaces.identify('network', { pid })
    await pin('network', { pid }, strange)
    await pin('network', { pid }, at)
    await end()
    const found = (await namespaces.list()).find(entry => entry.inode === inode)
    say({ ...found, pinnedAt: found.pinnedAt.map(path => path.slice(folder.length)) })
    await unpin(at)
    await unpin(strange)
    say((await namespaces.list()).some(({ pinnedAt }) => pinnedAt.length > 0))`,
  )
  t.match(entry, { kind: 'network', pids: [], pinnedAt: ['/with space\né\\', '/pinned'] })
  t.equal(entries, false)
})

t.test('what lies on a pinned one now is neither waited for nor believed', needsRoot, async t => {
  const [found] = await inMounts(
    t,
    'private',
    `
    const held = await hold('--net')
    await pin('network', { pid: held.pid }, at)
    await held.end()
    output('mkfifo', folder + '/fifo')
    output('mount', '--bind', folder + '/fifo', at)
    const all = await namespaces.list({ kinds: ['network'] })
    say(all.filter(({ pinnedAt }) => pinnedAt.includes(at)).map(({ owner, pids }) => [owner, pids]))
    output('umount', at)
    output('rm', folder + '/fifo')
    await unpin(at)`,
  )
  t.same(found, [[null, []]])
})

t.test('those that are kept open, if asked for', needsRoot, async t => {
  const { pid, end } = await sleeper(t, 'unshare', '--uts')
  using held = namespaces.open('uts', { pid })
  const { inode } = identify('uts', held)
  await end()
  const find = async (options: namespaces.ListOptions) =>
    (await list(options)).find(entry => entry.inode === inode)
  t.equal(await find({}), undefined)
  t.match(await find({ descriptors: true }), { kind: 'uts', pids: [], openIn: [process.pid] })
  t.equal(await find({ kinds: ['network'], descriptors: true }), undefined)
})

t.test('only the kinds that are asked for', async t => {
  const some = await list({ kinds: ['uts', 'network'] })
  t.same([...new Set(some.map(({ kind }) => kind))], ['network', 'uts'])
  t.same(await list({ kinds: [] }), [])
  for (const [options, option] of [
    [{ kinds: ['net'] }, 'kinds'],
    [{ kinds: 'uts' }, 'kinds'],
    [{ descriptors: 1 }, 'descriptors'],
    [{ pids: true }, 'list.pids'],
  ] as const)
    await t.rejects(list(options as object), { code: 'ERR_INVALID_OPTION', option })
})

t.test('an ordinary user sees its own', needsRoot, async t => {
  const [pids, users] = await asUser(
    t,
    `
    const { namespaces } = await import('cofferdam')
    const child = await namespaces.spawn(['cat'], { unshare: ['user', 'network'] })
    const all = await namespaces.list()
    const { inode: network } = namespaces.identify('network', child)
    say(all.find(({ inode }) => inode === network).pids.length)
    const own = all.flatMap(({ pids }) => pids)
    say([...new Set(own)].map(pid => statSync('/proc/' + pid, { throwIfNoEntry: false })?.uid ?? ${USER}))
    child.stdin.end()
    await child.exited`,
  )
  t.equal(pids, 1)
  t.same([...new Set(users as number[])], [USER])
})

t.test('mounts of namespaces are found in any text', async t => {
  const line = '30 21 0:4 net:[4026532001] /run/netns/a\\040b rw shared:1 - nsfs nsfs rw'
  const none = '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw'
  t.same(nsfsMounts(`${none}\n${line}\n\nx\n`), [
    { link: 'net:[4026532001]', path: '/run/netns/a b' },
  ])
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.array(fc.constantFrom(...line.split(' '), '\n'))),
      text => {
        const mounts = nsfsMounts(typeof text === 'string' ? text : text.join(' '))
        return mounts.every(
          mount => typeof mount.path === 'string' && /^\w+:\[\d+\]$/.test(mount.link),
        )
      },
    ),
  )
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), name => {
      const escaped = [...Buffer.from(`/${name}`)]
        .map(byte =>
          byte > 32 && byte !== 92 && byte < 127
            ? String.fromCharCode(byte)
            : `\\${byte.toString(8).padStart(3, '0')}`,
        )
        .join('')
      return nsfsMounts(line.replace('/run/netns/a\\040b', () => escaped))[0]?.path === `/${name}`
    }),
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
