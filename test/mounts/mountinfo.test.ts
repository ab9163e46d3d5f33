import { deepStrictEqual, strictEqual } from 'node:assert'
import { readFileSync } from 'node:fs'
import { mounts } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot } from '../support/index.js'
import { findmnt, mountNamespace } from '../support/mount-namespace.js'
import { asUser } from '../support/unprivileged.js'

/** The kernel's escapes: of these bytes, each as three octal digits. */
const mangle = (bytes: Buffer, which: string) =>
  Buffer.from(
    [...bytes.toString('latin1')]
      .map(c => (which.includes(c) ? `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}` : c))
      .join(''),
    'latin1',
  )

/** A line as show_mountinfo() of the kernel's fs/proc_namespace.c prints it. */
function format(mount: mounts.MountInfo): Buffer {
  const { shared, master, propagateFrom, unbindable } = mount.propagation
  const path = (text: string) => mangle(mounts.toBytes(text), ' \t\n\\')
  const name = (text: string) => mangle(mounts.toBytes(text), ' \t\n\\#')
  const parts: (string | Buffer)[] = [
    `${mount.id} ${mount.parent} ${mount.major}:${mount.minor} `,
    path(mount.root),
    ' ',
    path(mount.mountPoint),
    ` ${mount.options}`,
    shared === undefined ? '' : ` shared:${shared}`,
    master === undefined ? '' : ` master:${master}`,
    propagateFrom === undefined ? '' : ` propagate_from:${propagateFrom}`,
    unbindable ? ' unbindable' : '',
    ' - ',
    name(mount.fsType),
    ' ',
    name(mount.source),
    ' ',
    mounts.toBytes(mount.superOptions),
    '\n',
  ]
  return Buffer.concat(parts.map(part => Buffer.from(part)))
}

/** Names of any bytes but NUL, as a file name may be, those that mean something often. */
const name = fc
  .array(
    fc.oneof(
      fc.constantFrom(...[...' \t\n\\#-:,=0134/'].map(c => c.charCodeAt(0))),
      fc.integer({ min: 1, max: 255 }),
    ),
    { maxLength: 20 },
  )
  .map(bytes => mounts.fromBytes(Uint8Array.from(bytes)))
const number = fc.nat()
const options = fc.constantFrom('rw', 'ro,nosuid', 'rw,lowerdir=/a\\054b:/c\\134d', 'rw,x=\udcff')

const anyMount: fc.Arbitrary<mounts.MountInfo> = fc.record(
  {
    id: number,
    parent: number,
    major: number,
    minor: number,
    root: name.map(text => `/${text}`),
    mountPoint: name.map(text => `/${text}`),
    options: fc.constantFrom('rw', 'ro,nosuid,relatime'),
    propagation: fc.record(
      {
        shared: number,
        master: number,
        propagateFrom: number,
        unbindable: fc.boolean(),
      },
      { requiredKeys: ['unbindable'], noNullPrototype: true },
    ),
    fsType: fc.constantFrom('ext4', 'fuse.a b', '-', '\udcfe'),
    source: name,
    superOptions: options,
  },
  { noNullPrototype: true },
)

t.test('every field, as proc_pid_mountinfo(5) has it', async t => {
  const text =
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 propagate_from:7 - ext3.sub /dev/root rw,errors=continue\n' +
    '37 36 0:5 / /s ro shared:2147483647 new:field later unbindable -  - \n' +
    '38 36 0:6 / /private rw - tmpfs \\043a\\134b rw'
  t.strictSame(mounts.parseMountInfo(text), [
    {
      id: 36,
      parent: 35,
      major: 98,
      minor: 0,
      root: '/mnt1',
      mountPoint: '/mnt 2',
      options: 'rw,noatime',
      propagation: { master: 1, propagateFrom: 7, unbindable: false },
      fsType: 'ext3.sub',
      source: '/dev/root',
      superOptions: 'rw,errors=continue',
    },
    {
      id: 37,
      parent: 36,
      major: 0,
      minor: 5,
      root: '/',
      mountPoint: '/s',
      options: 'ro',
      propagation: { shared: 2 ** 31 - 1, unbindable: true },
      fsType: '',
      source: '-',
      superOptions: '',
    },
    {
      id: 38,
      parent: 36,
      major: 0,
      minor: 6,
      root: '/',
      mountPoint: '/private',
      options: 'rw',
      propagation: { unbindable: false },
      fsType: 'tmpfs',
      source: '#a\\b',
      superOptions: 'rw',
    },
  ])
})

t.test('what is no line of it is skipped', async t => {
  const good = '1 0 0:1 / / rw - a b c'
  for (const bad of [
    '',
    'x',
    '1 0 0:1 / / rw a b c',
    '1 0 0:1 / / rw - a',
    'x 0 0:1 / / rw - a b c',
    '1 -1 0:1 / / rw - a b c',
    '1 0 01 / / rw - a b c',
    ' 0 0:1 / / rw - a b c',
    `${2n ** 53n} 0 0:1 / / rw - a b c`,
    `1 0 0:1 / / rw ${'x '.repeat(100)}- a b c`,
  ]) {
    t.equal(mounts.parseMountInfo(bad).length, 0, bad)
    const between = mounts.parseMountInfo(`${good}\n${bad}\n${good}\n`)
    t.strictSame(between, mounts.parseMountInfo(`${good}\n${good}\n`), bad)
  }
  const [mount] = mounts.parseMountInfo(
    `${2n ** 53n - 1n} 0 0:1 / / rw shared:${2n ** 60n} - a b c`,
  )
  t.equal(mount?.id, Number.MAX_SAFE_INTEGER)
  t.strictSame(mount?.propagation, { unbindable: false }, 'a number that is none')
  t.throws(() => mounts.parseMountInfo(1 as unknown as string), { code: 'ERR_INVALID_OPTION' })
})

t.test('any bytes and any text are parsed', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constantFrom('\n', ' ', ' - ', '\\', '\\04', '1:2', '/', 'shared:1', '9'.repeat(20)),
    anyMount.map(format),
  )
  const text = fc.array(piece, { maxLength: 30 })
  fc.assert(
    fc.property(text, pieces => {
      const bytes = Buffer.concat(pieces.map(piece => Buffer.from(piece)))
      for (const mount of mounts.parseMountInfo(bytes)) {
        if (!Number.isSafeInteger(mount.id)) throw new Error(`no number: ${mount.id}`)
        mounts.parseOptions(mount.superOptions)
      }
      mounts.parseMountInfo(bytes.toString())
    }),
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      mounts.parseMountInfo(text)
      mounts.parseOptions(text)
    }),
  )
})

t.test('what the kernel would print comes back, whatever the names', async () => {
  fc.assert(
    fc.property(fc.array(anyMount, { maxLength: 5 }), list => {
      const parsed = mounts.parseMountInfo(Buffer.concat(list.map(format)))
      deepStrictEqual(parsed, list)
    }),
  )
})

t.test('names of any bytes are kept', async t => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      deepStrictEqual([...mounts.toBytes(mounts.fromBytes(bytes))], [...bytes])
    }),
  )
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), text => {
      strictEqual(mounts.fromBytes(Buffer.from(text)), text)
    }),
  )
  // As Python: os.fsdecode(b'\xff\xed\xa0\x80\xc3')
  const bytes = Uint8Array.of(0xff, 0xed, 0xa0, 0x80, 0xc3)
  t.equal(mounts.fromBytes(bytes), '\udcff\udced\udca0\udc80\udcc3')
})

t.test('options one by one', async t => {
  t.strictSame(
    mounts.parseOptions(
      'rw,size=64k,lowerdir=/a\\054b:/c\\0753\\134,x=,context="u:r:t:s0:c1,c2",é',
    ),
    [
      ['rw', true],
      ['size', '64k'],
      ['lowerdir', '/a,b:/c=3\\'],
      ['x', ''],
      ['context', 'u:r:t:s0:c1,c2'],
      ['é', true],
    ],
  )
  t.strictSame(mounts.parseOptions(',,'), [])
  t.strictSame(mounts.parseOptions('a="b,c'), [
    ['a', '"b'],
    ['c', true],
  ])
  t.strictSame(mounts.parseOptions('a="b,c",d=",e="'), [
    ['a', 'b,c'],
    ['d', ',e='],
  ])
  t.strictSame(mounts.parseOptions('a="'), [['a', '"']])
  const long = 'x'.repeat(10_000_000)
  t.ok(mounts.parseOptions(`rw,${long}`)[1]?.[0] === long)
})

const columns = ['ID', 'PARENT', 'MAJ:MIN', 'FSROOT', 'TARGET', 'VFS-OPTIONS', 'FSTYPE', 'SOURCE']

/** The same of ours, each character a byte. */
const row = (mount: mounts.MountInfo) =>
  [
    `${mount.id}`,
    `${mount.parent}`,
    `${mount.major}:${mount.minor}`,
    mount.root,
    mount.mountPoint,
    mount.options,
    mount.fsType,
    mount.source,
  ].map(text => mounts.toBytes(text).toString('latin1'))

/** As findmnt's column PROPAGATION. */
function mode({ shared, master, unbindable }: mounts.Propagation): string {
  const modes = [shared === undefined ? 'private' : 'shared', master === undefined ? [] : 'slave']
  return [...modes.flat(), ...(unbindable ? ['unbindable'] : [])].join()
}

t.test('this program’s mounts are those of findmnt', async t => {
  const list = await mounts.list()
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').trimEnd().split('\n')
  t.equal(list.length, lines.length)
  const byId = (a: string[], b: string[]) => Number(a[0]) - Number(b[0])
  t.strictSame(list.map(row).sort(byId), findmnt(columns, '--nofsroot').sort(byId))
  t.strictSame(await mounts.list(process.pid), list)
})

t.test(
  'names with anything in them, and propagation, in a namespace of its own',
  needsRoot,
  async t => {
    const { pid, folder, sh } = await mountNamespace(t)
    const names = [
      'a b',
      'tab\there',
      'new\nline',
      'back\\slash',
      'h#ash',
      'ünï',
      'x\\040y',
      '\udcff\udcc3(',
    ]
    await sh(`mount -t tmpfs -o size=64k,mode=755 'so urce#\\1' ${folder}; cd ${folder}`)
    for (const name of names) {
      const quoted = [...mounts.toBytes(name)].map(byte => `\\${byte.toString(8)}`).join('')
      await sh(`name=$(printf '%b.' '${quoted.replaceAll('\\', '\\0')}'); name=\${name%.}
      mkdir "$name"; mount -t tmpfs "$name" "$name"`)
    }
    await sh(`for name in shared slave both unbindable; do mkdir $name; done
    mount -t tmpfs -o nosuid,nodev,noexec,noatime tmpfs shared; mount --make-shared shared
    mount --bind shared slave; mount --make-slave slave
    mount --bind slave both; mount --make-shared both
    mkdir shared/sub; mount --bind -o ro shared/sub unbindable; mount --make-unbindable unbindable`)
    const list = await mounts.list(pid)
    const own = list.filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`))
    t.strictSame(
      own.slice(0, names.length).map(mount => mount.mountPoint),
      names.map(name => `${folder}/${name}`),
    )
    t.strictSame(
      own.slice(0, names.length).map(mount => mount.source),
      names,
    )
    const base = list.find(({ mountPoint }) => mountPoint === folder)
    t.equal(base?.source, 'so urce#\\1')
    t.strictSame(new Map(mounts.parseOptions(base?.superOptions ?? '')).get('size'), '64k')

    const at = (name: string) => own.find(({ mountPoint }) => mountPoint === `${folder}/${name}`)
    const group = at('shared')?.propagation.shared
    t.type(group, 'number')
    t.strictSame(at('shared')?.propagation, { shared: group, unbindable: false })
    t.equal(at('shared')?.options, 'rw,nosuid,nodev,noexec,noatime')
    t.strictSame(at('slave')?.propagation, { master: group, unbindable: false })
    t.equal(at('both')?.propagation.master, group)
    t.not(at('both')?.propagation.shared, group)
    t.strictSame(at('unbindable')?.propagation, { unbindable: true })
    t.equal(at('unbindable')?.root, '/sub')

    const known = findmnt([...columns, 'PROPAGATION'], '--nofsroot', '--task', `${pid}`)
    const ours = list.map(mount => [...row(mount), mode(mount.propagation)])
    const byId = (a: string[], b: string[]) => Number(a[0]) - Number(b[0])
    t.strictSame(ours.sort(byId), known.sort(byId))
  },
)

t.test('a master that this process does not see', needsRoot, async t => {
  const outer = await mountNamespace(t)
  await outer.sh(`mkdir a b; mount -t tmpfs a a; mount --make-shared a; mount --bind a b
    mount --make-slave b; mount --make-shared b; mkdir c; mount --bind b c; mount --make-slave c`)
  // In it b is gone, so what c gets comes from a.
  const text = await outer.sh(
    `unshare --mount --propagation unchanged sh -c 'umount b; cat /proc/self/mountinfo'`,
  )
  const list = mounts.parseMountInfo(text)
  const find = (name: string) =>
    list.find(({ mountPoint }) => mountPoint === `${outer.folder}/${name}`)
  t.equal(find('c')?.propagation.propagateFrom, find('a')?.propagation.shared)
  t.not(find('c')?.propagation.master, find('a')?.propagation.shared)
})

for (const [hidepid, code] of [
  [1, 'EPERM'],
  [2, 'ENOENT'],
] as const)
  t.test(`processes that a proc with hidepid=${hidepid} keeps to itself`, needsRoot, async t => {
    const list = `const { mounts } = await import('cofferdam')
      say(await mounts.list(1).then(() => 'seen', ({ code }) => code))
      say((await mounts.list()).length > 1)`
    const before = `mount -t proc -o hidepid=${hidepid} p /proc`
    t.same(await asUser(t, list, { before }), [code, true])
  })

t.test('whose mounts can’t be read', async t => {
  await t.rejects(mounts.list(2 ** 22 + 1), { code: 'ENOENT', syscall: 'open', path: /mountinfo/ })
  for (const bad of [0, -1, 1.5, Number.NaN, '1', '../1', undefined, null, {}])
    if (bad !== undefined)
      await t.rejects(mounts.list(bad as number), { code: 'ERR_INVALID_OPTION', option: 'process' })
})
