import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Container, mounts, overlay, tmpfs } from 'cofferdam'
import t from 'tap'
import { needsController } from '../support/cgroups.js'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  scratch,
  shell,
} from '../support/index.js'

// Root in a container has CAP_MKNOD, as with Docker: what it makes a file of must not be the
// host's. The device here is one that does no harm, and that the list of devices allows, so
// that it is the mount which has to refuse it.

const nothingLeft = await rememberTraces()

/** Tries all places that can be written to, but for those that say so themselves. */
const makeAndOpen = (folders: readonly string[]) =>
  folders
    .map(
      folder =>
        `mknod -m 666 ${folder}/made c 1 5; echo $(head -c 1 ${folder}/made 2>&1 | tr '\\0' 0)`,
    )
    .join('\n')

/** What the programs of {@link hostPrograms} need in an empty root. */
const links = ['bin', 'lib', 'lib64', 'sbin'].map(name => mounts.symlink(`/${name}`, `usr/${name}`))

const refused = /Permission denied/

t.test('a device file that root in a container makes can not be opened', needsRoot, async t => {
  const own = scratch(t)
  const roots: [string, Container][] = [
    ['overlay', overHost()],
    ['directory', new Container().rootfs(makeRoot(t)).mount(hostPrograms)],
    ['empty', new Container().rootfs(mounts.emptyRoot()).mount(hostPrograms, ...links)],
    ['upper', new Container().rootfs(overlay({ lower: ['/'], ...layer(own) }))],
    ['all capabilities', overHost().capabilities('all')],
    ['limits', overHost().limits({})],
    [
      'devices that may be left out',
      overHost().devices(['c 1:5 rwm']).limits({}, { optional: true }),
    ],
  ]
  for (const [name, builder] of roots) {
    const said = (
      await shell(builder.mount(tmpfs('/t')), makeAndOpen(['', '/dev', '/t', '/dev/shm']))
    ).split('\n')
    t.equal(said.length, 4, name)
    for (const line of said) t.match(line, refused, `${name}: ${line}`)
  }
})

function layer(folder: string) {
  const [upper, work] = [join(folder, 'upper'), join(folder, 'work')]
  execFileSync('mkdir', [upper, work])
  return { upper, work }
}

/** A root directory that comes with a device file that everybody may read. */
function prepared(t: Parameters<typeof makeRoot>[0]): string {
  const root = makeRoot(t)
  chmodSync(dirname(root), 0o755) // for who is root of a user namespace
  execFileSync('mknod', ['-m', '666', join(root, 'brought'), 'c', '1', '5'])
  return root
}

const open =
  'head -c 1 /brought 2>&1 | wc -c; head -c 1 /brought 2>&1 | grep -o "Permission denied"'

t.test('nor can one that the root directory brings', needsRoot, async t => {
  const root = prepared(t)
  const ids = [{ containerId: 0, hostId: 100_000, size: 1000 }]
  const containers: [string, Container][] = [
    ['writable', new Container().rootfs(root)],
    ['read-only', new Container().rootfs(root, { readonly: true })],
    ['without capabilities', new Container().rootfs(root).capabilities([])],
    ['in a user namespace', new Container().rootfs(root).idMappings({ uid: ids, gid: ids })],
    ['hears of mounts', new Container().rootfs(root, { propagation: 'rslave' })],
    ['moved', new Container().rootfs(root, { change: 'move' })],
    ['changed to', new Container().rootfs(root, { change: 'chroot' })],
    ['lower layer', new Container().rootfs(overlay({ lower: [root] }))],
    ['with a group', new Container().rootfs(root).limits({})],
    ['said', new Container().rootfs(root, { nodev: true }).devices(['c 1:5 rwm'])],
  ]
  for (const [name, builder] of containers)
    t.match(await shell(builder.mount(hostPrograms), open), 'Permission denied', name)
})

t.test(
  'nodev: false lifts that, and so do rules on devices of one’s own',
  needsController('devices'),
  async t => {
    const root = prepared(t)
    const containers: [string, Container][] = [
      ['directory', new Container().rootfs(root, { nodev: false })],
      ['read-only', new Container().rootfs(root, { nodev: false, readonly: true })],
      ['lower layer', new Container().rootfs(overlay({ lower: [root] }), { nodev: false })],
      ['rules', new Container().rootfs(root).devices([])],
    ]
    for (const [name, builder] of containers) {
      const own = makeAndOpen(['/dev'])
      const said = await shell(builder.mount(hostPrograms), `${open}; ${own}`)
      t.equal(said, '1\n0', name)
    }
    const empty = new Container().rootfs(mounts.emptyRoot({ nodev: false }))
    const [inRoot, inDev] = (
      await shell(empty.mount(hostPrograms, ...links), makeAndOpen(['', '/dev']))
    ).split('\n')
    t.equal(inRoot, '0')
    t.match(inDev, refused, 'of an empty root it is its own business')
  },
)

t.test(
  'the container’s own devices, and those it is given, can be opened',
  needsContainers,
  async t => {
    const script =
      'for d in null zero full random urandom; do head -c 1 /dev/$d | wc -c; done; echo x > /dev/null'
    t.equal(await shell(overHost(), script), '0\n1\n1\n1\n1')
    t.match(await shell(overHost(), 'script -qc "tty; echo x > /dev/tty" /dev/null'), /pts\/0\s+x/)
  },
)

t.test('those that it is given too', needsRoot, async t => {
  const root = makeRoot(t)
  const given = { major: 1, minor: 5, mode: 0o640, gid: 9 }
  const builder = new Container()
    .rootfs(root)
    .mount(hostPrograms, mounts.device('/given', given), mounts.device('/dev/x/given', given))
  const script =
    'for d in /given /dev/x/given; do head -c 1 $d | wc -c; stat -c "%F %a %g" $d; done'
  const each = '1\ncharacter special file 640 9'
  t.equal(await shell(builder, script), `${each}\n${each}`)
  t.equal(execFileSync('ls', [root], { encoding: 'utf8' }).includes('given'), false)
})

t.test('options that are wrong', async t => {
  t.throws(() => new Container().rootfs('/', { nodev: 1 as never }), /^rootfs\.nodev/)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
