import { execFileSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { namespaces } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import {
  kernelKinds,
  openPidfd,
  output,
  sleeper,
  timeAtExec,
  timeFlag,
} from '../support/processes.js'
import { asUser } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()
const kinds = kernelKinds
const { pathOf } = namespaces

/** For tests of what only newer kernels can be asked for. */
function since(major: number, minor: number): { skip?: string } {
  const [has = 0, also = 0] = release().split('.').map(Number)
  if (has > major || (has === major && also >= minor)) return needsRoot
  return { skip: `needs Linux ${major}.${minor}` }
}

const all = ['--mount', '--uts', '--ipc', '--net', '--cgroup', ...timeFlag]

t.test('a namespace is known by what readlink and stat show', needsRoot, async t => {
  const { pid } = await sleeper(t, 'unshare', ...all)
  for (const kind of kinds) {
    const path = pathOf(kind, pid)
    const { ino, dev } = statSync(path)
    t.same(namespaces.identify(kind, { pid }), { kind, inode: ino, device: dev })
    t.match(readlinkSync(path), new RegExp(`:\\[${ino}\\]$`))
    t.equal(namespaces.typeOf(path), kind)
    const fresh = !['user', 'pid', ...(timeAtExec ? [] : ['time'])].includes(kind)
    t.equal(namespaces.same(kind, path), !fresh, `${kind} compared with this program's`)
    t.equal(namespaces.same(kind, path, { pid }), true)
    t.equal(namespaces.identify(kind).inode, statSync(pathOf(kind, process.pid)).ino)
  }
})

t.test('a descriptor keeps it, when nobody is in it any more', needsRoot, async t => {
  const { pid, end } = await sleeper(t, 'unshare', '--uts')
  using held = namespaces.open('uts', { pid })
  const before = namespaces.identify('uts', held)
  await end()
  t.throws(() => namespaces.open('uts', { pid }), { code: 'ESRCH', option: 'namespace' })
  t.same(namespaces.identify('uts', held), before)
  t.equal(namespaces.typeOf(held), 'uts')
  const { fd } = held
  t.match(await output('readlink', `/proc/${process.pid}/fd/${fd}`), `uts:[${before.inode}]`)
  held.close()
  t.throws(() => fstatSync(fd), { code: 'EBADF' })
})

t.test('a pidfd names the namespaces of its process, until that ends', needsRoot, async t => {
  const { pid, end } = await sleeper(t, 'unshare', '--net')
  const pidfd = await openPidfd(pid)
  t.same(
    namespaces.identify('network', { pidfd: pidfd.fd }),
    namespaces.identify('network', { pid }),
  )
  await end()
  t.throws(() => namespaces.open('network', { pidfd: pidfd.fd }), { code: 'ESRCH' })
  pidfd.close()
})

t.test('the owner, and who made a user namespace', needsRoot, async t => {
  const { pid } = await sleeper(t, 'unshare', '--user', '--map-root-user', '--net')
  using owner = namespaces.ownerOf('network', { pid })
  t.ok(namespaces.same('user', owner as namespaces.NamespaceReference, { pid }))
  t.equal(namespaces.ownerUid({ pid }), process.getuid?.())
  using parent = namespaces.parentOf('user', { pid })
  t.ok(namespaces.same('user', parent as namespaces.NamespaceReference))
  t.equal(namespaces.parentOf('user'), undefined, 'of one’s own nobody is told')
  using above = namespaces.ownerOf('uts')
  if (above !== undefined) t.ok(namespaces.same('user', above))
})

t.test('the user id of another maker', needsRoot, async t => {
  const user = ['setpriv', '--reuid=61234', '--regid=61235', '--clear-groups']
  const { pid } = await sleeper(t, ...user, 'unshare', '--user')
  t.equal(namespaces.ownerUid({ pid }), 61_234)
})

t.test('PID namespaces have parents', needsRoot, async t => {
  // unshare stays outside as the parent
  const { pid: outer } = await sleeper(t, 'unshare', '--pid', '--fork', '--kill-child')
  const pid = Number((await output('pgrep', '-P', `${outer}`)).split('\n')[0])
  using parent = namespaces.parentOf('pid', { pid })
  t.ok(namespaces.same('pid', parent as namespaces.NamespaceReference))
  t.equal(namespaces.same('pid', { pid }), false)
})

t.test('pids are told on either side', since(6, 11), async t => {
  const { pid: outer } = await sleeper(t, 'unshare', '--pid', '--fork', '--kill-child')
  const pid = Number(await output('pgrep', '-P', `${outer}`))
  t.equal(namespaces.pidIn(pid, { pid }), 1)
  t.equal(namespaces.pidFrom(1, { pid }), pid)
  t.equal(namespaces.pidIn(process.pid, { pid }), undefined)
  t.equal(namespaces.pidFrom(4_000_000, { pid }), undefined)
  t.equal(namespaces.pidIn(process.pid, { pid: process.pid }), process.pid)
})

t.test('mount namespaces are numbered', since(6, 10), async t => {
  const { pid } = await sleeper(t, 'unshare', '--mount')
  const own = namespaces.mountNamespaceId()
  t.ok(own > 0n)
  t.not(namespaces.mountNamespaceId({ pid }), own)
  t.equal(namespaces.mountNamespaceId(pathOf('mount', process.pid)), own)
})

t.test('only PID and user namespaces have a parent', async t => {
  t.throws(() => namespaces.parentOf('network' as 'pid'), {
    code: 'ERR_INVALID_OPTION',
    option: 'kind',
  })
})

t.test('what names no namespace of the kind is refused', async t => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, '')
  const fifo = join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const fd = openSync(file, 'r')
  const refused: [unknown, string][] = [
    ['', 'namespace'],
    ['a\0b', 'namespace'],
    [file, 'namespace'],
    [fifo, 'namespace'],
    [{ fd }, 'namespace'],
    ['/proc/self/ns/uts', 'namespace'],
    [{ pid: 0 }, 'namespace.pid'],
    [{ pid: 1.5 }, 'namespace.pid'],
    [{ pid: '1' }, 'namespace.pid'],
    [{ fd: -1 }, 'namespace.fd'],
    [{ pidfd: fd }, 'namespace.pidfd'],
    [{ pidfd: 1_000_000 }, 'namespace.pidfd'],
    [{ pid: 1, pidfd: 2 }, 'namespace'],
    [{ path: '/proc/self/ns/net' }, 'namespace.path'],
    [{}, 'namespace'],
    [7, 'namespace'],
    [null, 'namespace'],
  ]
  for (const [reference, option] of refused)
    t.throws(
      () => namespaces.open('network', reference as namespaces.NamespaceReference),
      { code: 'ERR_INVALID_OPTION', option },
      JSON.stringify(reference),
    )
  t.throws(() => namespaces.open('network', { fd: 1_000_000 }), {
    code: 'ERR_INVALID_OPTION',
    option: 'namespace',
  })
  t.throws(() => namespaces.open('network', '/does/not/exist'), {
    code: 'ENOENT',
    path: '/does/not/exist',
    option: 'namespace',
  })
  t.throws(() => namespaces.open('net' as 'network'), {
    code: 'ERR_INVALID_OPTION',
    option: 'kind',
  })
  t.throws(() => namespaces.typeOf({ pid: 1 } as unknown as string), { code: 'ERR_INVALID_OPTION' })
  closeSync(fd)
})

t.test('an ordinary user knows its own, and not root’s', needsRoot, async t => {
  const [own, denied, mine] = await asUser(
    t,
    `
    const { namespaces } = await import('cofferdam')
    say(namespaces.identify('network').inode === statSync('/proc/self/ns/net').ino)
    try { namespaces.open('network', { pid: 1 }) } catch (error) { say(told(error)) }
    say(namespaces.same('mount', { pid: process.pid }))`,
  )
  t.equal(own, true)
  t.match(denied, { code: 'EACCES', path: '/proc/1/ns/net', hint: /same user/ })
  t.equal(mine, true)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
