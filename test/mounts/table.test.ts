import { execFileSync } from 'node:child_process'
import { mounts } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'

interface FoundTree {
  id: number
  children?: FoundTree[]
}

/** Numbers of a tree as findmnt(8) has it. */
function findmntTree(pid: number | 'self'): FoundTree[] {
  const args = ['--json', '-o', 'TARGET,ID', '--task', pid === 'self' ? `${process.pid}` : `${pid}`]
  return withoutTargets(JSON.parse(execFileSync('findmnt', args, { encoding: 'utf8' })).filesystems)
}

const withoutTargets = (trees: FoundTree[]): FoundTree[] =>
  trees.map(({ id, children }) =>
    children === undefined ? { id } : { id, children: withoutTargets(children) },
  )

const numbers = (trees: mounts.MountTree[]): FoundTree[] =>
  trees.map(({ mount, children }) =>
    children.length === 0 ? { id: mount.id } : { id: mount.id, children: numbers(children) },
  )

/** The mount that the kernel has for a path in the namespace, statx(2) STATX_MNT_ID. */
const kernelSays = (pid: number, path: string) =>
  Number(
    execFileSync(
      'nsenter',
      [
        '--target',
        `${pid}`,
        '--mount',
        'sh',
        '-c',
        'exec 3<"$1"; cat /proc/self/fdinfo/3',
        'sh',
        path,
      ],
      {
        encoding: 'utf8',
      },
    ).match(/^mnt_id:\s+(\d+)$/m)?.[1],
  )

t.test('the tree is that of findmnt', needsRoot, async t => {
  t.strictSame(numbers(mounts.tree(await mounts.list())), findmntTree('self'))
  const { pid, sh } = await mountNamespace(t)
  await sh(`mkdir a b; mount -t tmpfs a a; mkdir a/b a/c; mount -t tmpfs b a/b; mount -t tmpfs c a/c
    mount -t tmpfs over a; mkdir a/b; mount -t tmpfs b a/b; mount --move a/b b; mount --rbind / a/b`)
  t.strictSame(numbers(mounts.tree(await mounts.list(pid))), findmntTree(pid))
})

t.test('a path is on the mount that the kernel says', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  // One below another that came later, several at one place, one beneath.
  await sh(`mkdir -p a/b/c ab; mount -t tmpfs 1 a/b; mkdir a/b/c; mount -t tmpfs 2 a/b/c
    mount -t tmpfs 3 a; mkdir a/b; mount -t tmpfs 4 a; mkdir a/x a/b; mount -t tmpfs 5 a/x
    mount -t tmpfs 6 a/x; mkdir a/x/y; touch file; mount --bind file file`)
  const list = await mounts.list(pid)
  for (const path of [
    '/',
    '/proc',
    '/dev/null',
    '/dev/shm',
    folder,
    ...['a', 'a/b', 'a/x', 'a/x/y', 'ab', 'file'].map(name => `${folder}/${name}`),
  ])
    t.equal(mounts.find(list, path)?.id, kernelSays(pid, path), path)
  t.equal(mounts.find(list, `${folder}//./a/x/`)?.source, '6')
  t.equal(mounts.find(list, `${folder}/a/b/c/d`)?.source, '4', 'where others are covered')
  t.equal(mounts.find(list, `${folder}/a/x/none`)?.mountPoint, `${folder}/a/x`)
})

t.test('a root that is no mount point', needsRoot, async t => {
  const { sh } = await mountNamespace(t)
  const text = await sh(`mkdir -p root/sub root/proc; mount -t tmpfs sub root/sub
    mount -t proc proc root/proc
    perl -e 'chroot "root"; chdir "/"; open(F, "</proc/self/mountinfo"); print <F>'`)
  const list = mounts.parseMountInfo(text)
  t.equal(list.length, 2)
  t.equal(mounts.find(list, '/'), undefined)
  t.equal(mounts.find(list, '/sub/x')?.source, 'sub')
  t.equal(mounts.tree(list).length, list.length)
})

t.test('made-up tables end', async t => {
  const line = (id: number, parent: number, point: string) =>
    mounts.parseMountInfo(`${id} ${parent} 0:1 / ${point} rw - a b c`)[0] as mounts.MountInfo
  const round = [line(3, 2, '/'), line(1, 2, '/'), line(2, 1, '/'), line(4, 4, '/')]
  t.equal(mounts.find(round, '/')?.id, 4, 'a mount on itself is a root, as the first one of all is')
  t.strictSame(numbers(mounts.tree(round)), [
    { id: 1, children: [{ id: 2, children: [{ id: 3 }] }] },
    { id: 4 },
  ])
  const any = fc.array(
    fc.record({
      id: fc.nat(8),
      parent: fc.nat(8),
      point: fc.constantFrom('/', '/a', '/a/b', '/b'),
    }),
  )
  const count = (trees: mounts.MountTree[]): number =>
    trees.reduce((sum, { children }) => sum + 1 + count(children), 0)
  fc.assert(
    fc.property(any, entries => {
      const list = entries.map(({ id, parent, point }) => line(id, parent, point))
      mounts.find(list, '/a/b/c')
      const different = new Set(list.map(({ id }) => id)).size
      if (count(mounts.tree(list)) !== different) throw new Error('a mount is lost')
    }),
  )
})

t.test('paths that mean nothing', async t => {
  for (const path of ['', 'a', '/a/../b', '/a\0', 1])
    t.throws(() => mounts.find([], path as string), { code: 'ERR_INVALID_OPTION', option: 'path' })
})

t.test('what is no table, no bytes, no text', async t => {
  for (const wrong of [undefined, null, 1, 'text', {}, new Uint8Array(2)]) {
    const refused = (option: string, use: (wrong: never) => unknown) =>
      t.throws(() => use(wrong as never), { code: 'ERR_INVALID_OPTION', option })
    refused('mounts', list => mounts.find(list, '/'))
    refused('mounts', mounts.tree)
    refused('before', before => mounts.differences(before, []))
    refused('after', after => mounts.differences([], after))
    if (typeof wrong !== 'string') refused('text', mounts.toBytes)
    if (!(wrong instanceof Uint8Array)) refused('bytes', mounts.fromBytes)
  }
})
