// Options in the words of mount(8): what they come to is what mount(8) makes of them.
import { Container, mounts } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'
import { bareRoot, look } from '../support/mounted.js'

const { parseMountOptions } = mounts
const nothingLeft = await rememberTraces()

t.test('what each comes to', async t => {
  const cases: [options: string[], parsed: Partial<mounts.ParsedOptions>][] = [
    [[], { attributes: {}, submounts: {}, options: {}, propagation: [] }],
    [['defaults', 'silent', 'loud', 'noiversion', 'nofail', 'x-mount.mkdir'], { options: {} }],
    [['ro', 'nosuid'], { attributes: { readonly: true, nosuid: true } }],
    [['ro', 'rw'], { attributes: { readonly: false } }],
    [['rro', 'rrw', 'rnoexec'], { submounts: { readonly: false, noexec: true }, attributes: {} }],
    [
      ['rw', 'relatime', 'remount'],
      { remount: true, attributes: { readonly: false, atime: 'relatime' } },
    ],
    [['rnoatime', 'rstrictatime'], { submounts: { atime: 'strictatime' } }],
    [
      ['rnosymfollow', 'nodiratime'],
      { submounts: { nosymfollow: true }, attributes: { nodiratime: true } },
    ],
    [['bind'], { bind: true, recursive: false }],
    [
      ['rbind', 'rslave', 'shared'],
      { bind: true, recursive: true, propagation: ['rslave', 'shared'] },
    ],
    [['ridmap'], { idmap: 'ridmap' }],
    [
      ['tmpcopyup', 'size=64k', 'mode=1777'],
      { copyUp: true, options: { size: '64k', mode: '1777' } },
    ],
    [['sync', 'dirsync', 'lazytime', 'async'], { options: { dirsync: true, lazytime: true } }],
    [['lowerdir=/a=b:/c'], { options: { lowerdir: '/a=b:/c' } }],
    [['mand', 'nomand'], { options: {} }],
  ]
  for (const [options, parsed] of cases) {
    const all = parseMountOptions(options)
    for (const [name, value] of Object.entries(parsed))
      t.strictSame(all[name as keyof typeof all], value, `${options}: ${name}`)
  }
})

t.test('the kernel has nothing of some, and says so', async t => {
  for (const option of ['iversion', '=x', ',', '', 'a\0b'])
    t.throws(() => parseMountOptions([option]), { code: 'ERR_INVALID_OPTION' }, option)
  t.throws(() => parseMountOptions('ro' as never), { code: 'ERR_INVALID_OPTION' })
})

t.test('any list is understood or refused', async () => {
  const words = [
    'ro',
    'rro',
    'bind',
    'size=1',
    '=',
    'x',
    'rrelatime',
    'atime',
    'rw',
    '__proto__',
    'constructor',
  ]
  const option = fc.oneof(fc.string(), fc.constantFrom(...words))
  fc.assert(
    fc.property(fc.array(option), options => {
      try {
        parseMountOptions(options)
      } catch (error) {
        if ((error as Error).name !== 'CofferdamError') throw error
      }
    }),
    { numRuns: 2000 },
  )
})

/** Each by itself, and some together. */
const lists = [
  ...['ro', 'rw', 'nosuid', 'suid', 'nodev', 'dev', 'noexec', 'exec', 'nosymfollow', 'symfollow'],
  ...['noatime', 'atime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime'],
  ...['nodiratime', 'diratime', 'sync', 'async', 'dirsync', 'lazytime', 'nolazytime', 'mand'],
  ...['defaults', 'silent', 'loud', 'nomand', 'noiversion'],
  'ro,nosuid,nodev,noexec,nosymfollow,nodiratime,noatime,size=64k',
  'noatime,nodiratime,mode=700',
].map(list => list.split(','))

t.test('a new file system: the same as mount(8) makes', needsRoot, async t => {
  const { sh } = await mountNamespace(t)
  for (const list of lists) {
    await sh(`mount -t tmpfs -o ${list.join()} none .`)
    const theirs = (await sh('grep " $PWD " /proc/self/mountinfo')).trim().split(' ')
    await sh('umount .')
    const { attributes, options } = parseMountOptions(list)
    const plain = { nosuid: false, nodev: false }
    const { mounts: table } = await look(
      bareRoot(new Container()).mount(
        mounts.fileSystem('tmpfs', '/m', { ...plain, ...attributes, options }),
      ),
    )
    const ours = table.get('/m')
    t.equal(ours?.options, theirs[5], list.join())
    // mount(8) makes the file system itself read-only too, which is nobody else's.
    const whole = (text = '') => text.replace(/^ro/, 'rw')
    t.equal(whole(ours?.superOptions), whole(theirs.at(-1)), list.join())
  }
})

t.test('a bind mount, and what is below it: the same as mount(8) makes', needsRoot, async t => {
  const { sh } = await mountNamespace(t)
  await sh(
    'mkdir source target; mount -t tmpfs none source; mkdir source/sub; mount -t tmpfs none source/sub',
  )
  const words = [
    'ro',
    'nosuid',
    'nodev',
    'noexec',
    'nosymfollow',
    'noatime',
    'strictatime',
    'nodiratime',
  ]
  const own = words.map(word => [word])
  const deep = words.map(word => [`r${word}`])
  for (const list of [...own, ...deep, ['rro', 'rnosuid', 'noexec'], ['rnoatime', 'ro']]) {
    // mount(8) knows the recursive ones since 2.39, so each mount is told by itself.
    const below = list.filter(word => !words.includes(word)).map(word => word.slice(1))
    const itself = [...below, ...list.filter(word => words.includes(word))]
    await sh('mount --rbind source target')
    await sh(`mount -o remount,bind,${itself.join()} target`)
    if (below.length > 0) await sh(`mount -o remount,bind,${below.join()} target/sub`)
    const read = await sh('grep " $PWD/target" /proc/self/mountinfo | cut -d" " -f6')
    await sh('umount -R target')
    const { attributes, submounts } = parseMountOptions(list)
    const builder = bareRoot(new Container()).mount(
      mounts.tmpfs('/s', { nosuid: false, nodev: false, exec: true }),
      mounts.tmpfs('/s/sub', { nosuid: false, nodev: false, exec: true }),
      mounts.remount('/s', { readonly: false, ...attributes }),
      ...(Object.keys(submounts).length > 0
        ? [mounts.remount('/s', { ...submounts, recursive: true })]
        : []),
    )
    const { mounts: table } = await look(builder)
    t.same(
      [table.get('/s')?.options, table.get('/s/sub')?.options],
      read.trim().split('\n'),
      list.join(),
    )
  }
})

t.test('nothing is left behind', needsContainers, nothingLeft)
