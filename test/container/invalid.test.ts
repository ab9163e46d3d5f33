import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Box, bind, Container, overlay, tmpfs } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  scratch,
} from '../support/index.js'

const nothingLeft = await rememberTraces()
const wrong = <T>(value: unknown) => value as T

/** Refused by the builder itself. */
const refused: [what: string, build: () => unknown, error: object][] = [
  ['an id with a slash', () => new Container('a/b'), { option: 'id' }],
  ['an id that is ..', () => new Container('..'), { option: 'id' }],
  ['an empty id', () => new Container(''), { option: 'id' }],
  ['an id of 65 letters', () => new Container('x'.repeat(65)), { option: 'id' }],
  ['an unknown namespace', () => new Container().isolate(wrong('net')), { option: 'isolate' }],
  ['a prototype’s name', () => new Container().isolate(wrong('toString')), { option: 'isolate' }],
  [
    'joining a relative path',
    () => new Container().isolate({ network: 'x' }),
    { option: 'isolate.network' },
  ],
  [
    'an unknown capability',
    () => new Container().capabilities(wrong(['FLY'])),
    { option: 'capabilities' },
  ],
  ['an empty host name', () => new Container().hostname(''), { option: 'hostname' }],
  [
    'a host name of 65 bytes',
    () => new Container().hostname('ü'.repeat(33)),
    { option: 'hostname' },
  ],
  ['an empty rootfs', () => new Container().rootfs(''), { option: 'rootfs' }],
  ['a rootfs that is a number', () => new Container().rootfs(wrong(3)), { option: 'rootfs' }],
  [
    'an unknown rootfs option',
    () => new Container().rootfs('/', wrong({ readOnly: true })),
    { option: 'rootfs.readOnly' },
  ],
  ['an overlay without layers', () => overlay({ lower: [] }), { option: 'overlay.lower' }],
  [
    'an overlay with half of a writable layer',
    () => overlay({ lower: ['/'], upper: '/x' }),
    { code: 'ERR_CONFLICT' },
  ],
  [
    'an overlay with a size and a directory',
    () => overlay({ lower: ['/'], upper: '/x', work: '/y', size: 1 }),
    { code: 'ERR_CONFLICT', option: 'overlay.size' },
  ],
  ['a size of no known unit', () => tmpfs('/x', { size: '3 parsecs' }), { option: 'tmpfs.size' }],
  ['a negative size', () => tmpfs('/x', { size: -1 }), { option: 'tmpfs.size' }],
  ['a mode out of range', () => tmpfs('/x', { mode: 0o10000 }), { option: 'tmpfs.mode' }],
  ['a relative target', () => tmpfs('tmp'), { option: 'tmpfs' }],
  ['a target with ..', () => bind('/x', '/a/../b'), { option: 'bind' }],
  ['an unknown bind option', () => bind('/x', '/y', wrong({ ro: true })), { option: 'bind.ro' }],
  [
    'a mount of another make',
    () => new Container().mount(wrong({ type: 'nfs' })),
    { option: 'mount' },
  ],
  ['no program', () => new Container().process({ argv: [] }), { option: 'argv' }],
  ['a NUL in an argument', () => new Container().process({ argv: ['a\0b'] }), { option: 'argv' }],
  [
    'a relative directory',
    () => new Container().process({ argv: ['x'], cwd: 'y' }),
    { option: 'cwd' },
  ],
  [
    'a user that is out of range',
    () => new Container().process({ argv: ['x'], user: 2 ** 32 }),
    { option: 'user' },
  ],
  ...['a b', 'a:b:c', ':a', 'a:', '../x', '-1', 'a\nb'].map(
    user =>
      [
        `a user that is ${JSON.stringify(user)}`,
        () => new Container().process({ argv: ['x'], user }),
        { option: 'user' },
      ] as [string, () => unknown, object],
  ),
  [
    'a group that is negative',
    () => new Container().process({ argv: ['x'], user: { uid: 1, groups: [-1] } }),
    { option: 'user.groups' },
  ],
  [
    'a umask out of range',
    () => new Container().process({ argv: ['x'], umask: 0o1000 }),
    { option: 'umask' },
  ],
  [
    'a variable with = in its name',
    () => new Container().process({ argv: ['x'], env: { 'a=b': 'c' } }),
    { option: 'env' },
  ],
  [
    'an unknown process option',
    () => new Container().process(wrong({ argv: ['x'], tty: true })),
    { option: 'process.tty' },
  ],
]

for (const [what, build, error] of refused)
  t.test(what, async t => {
    t.throws(build, { name: 'CofferdamError', code: 'ERR_INVALID_OPTION', ...error })
  })

/** Refused by create(), before anything is done. */
const notCreated: [what: string, build: (folder: string) => Container, error: object][] = [
  [
    'a rootfs that does not exist',
    () => new Container().rootfs('/no/such'),
    { code: 'ENOENT', option: 'rootfs', path: '/no/such' },
  ],
  [
    'a rootfs that is a file',
    folder => new Container().rootfs(join(folder, 'file')),
    { code: 'ENOTDIR', option: 'rootfs' },
  ],
  [
    'a layer that does not exist',
    () => new Container().rootfs(overlay({ lower: ['/usr', '/no/such'] })),
    { code: 'ENOENT', path: '/no/such' },
  ],
  [
    'a source that does not exist',
    () => overHost().mount(bind('/no/such', '/x')),
    { code: 'ENOENT', option: 'mount', path: '/no/such' },
  ],
  [
    'a namespace that does not exist',
    () => overHost().isolate('mount', { network: '/no/such' }),
    { code: 'ENOENT', option: 'isolate.network' },
  ],
  [
    'a rootfs without a mount namespace',
    () => overHost().isolate('pid'),
    { code: 'ERR_CONFLICT', option: 'rootfs' },
  ],
  [
    'mounts without a mount namespace',
    () => new Container().isolate('pid').mount(tmpfs('/x')),
    { code: 'ERR_CONFLICT', option: 'mount' },
  ],
  [
    'a host name without a UTS namespace',
    () => overHost().isolate('mount').hostname('x'),
    { code: 'ERR_CONFLICT', option: 'hostname' },
  ],
]

for (const [what, build, error] of notCreated)
  t.test(what, async t => {
    const folder = scratch(t)
    writeFileSync(join(folder, 'file'), '')
    await t.rejects(build(folder).create(), { name: 'CofferdamError', ...error })
  })

t.test('an unknown option of create and start', needsContainers, async t => {
  await t.rejects(overHost().create(wrong({ detach: true })), {
    code: 'ERR_INVALID_OPTION',
    option: 'create.detach',
  })
  await t.rejects(overHost().create(wrong({ lifetime: 'eternal' })), {
    code: 'ERR_INVALID_OPTION',
    option: 'create.lifetime',
  })
  await using box = (await overHost().create()) as Box
  await t.rejects(box.start(['true'], wrong({ shell: true })), {
    code: 'ERR_INVALID_OPTION',
    option: 'start.shell',
  })
  await t.rejects(box.start([]), { code: 'ERR_INVALID_OPTION', option: 'argv' })
  await t.rejects(box.start(), { code: 'ERR_INVALID_OPTION', option: 'argv' })
  await t.rejects(box.kill(wrong('SIGNOTHING')), { code: 'ERR_INVALID_OPTION', option: 'signal' })
  t.equal(box.status, 'created', 'and it is none the worse')
})

t.test(
  'what is there at create() and gone at its step is that step’s error',
  needsRoot,
  async t => {
    const { mkdirSync, rmSync } = await import('node:fs')
    const root = join(scratch(t), 'root')
    const build = () => new Container().rootfs(root)
    for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(root, name), { recursive: true })
    await (await build().create()).delete()
    rmSync(root, { recursive: true })
    await t.rejects(build().create(), {
      code: 'ENOENT',
      syscall: 'openat',
      path: root,
      step: 'lock the rootfs',
    })
  },
)

t.test('a mount target that is of the wrong kind', needsContainers, async t => {
  await t.rejects(overHost().mount(tmpfs('/etc/passwd')).create(), {
    code: 'ENOTDIR',
    syscall: 'openat2',
    step: 'tmpfs /etc/passwd',
  })
  await t.rejects(overHost().mount(tmpfs('/etc/passwd/x')).create(), {
    code: 'ENOTDIR',
    step: 'tmpfs /etc/passwd/x',
  })
})

t.test('what is well in one container is still wrong in another', needsRoot, async t => {
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  for (const [options, other, error] of [
    [{ init: true }, overHost().isolate('mount'), { code: 'ERR_CONFLICT', option: 'init' }],
    [
      { user: 200_000 },
      overHost().idMappings({ uid: ids, gid: ids }),
      { code: 'ERR_INVALID_OPTION', option: 'user' },
    ],
  ] as const) {
    await run(overHost(), ['true'], options) // its plan is kept
    await t.rejects(run(other, ['true'], options), error)
  }
})

t.test('nothing is left behind', needsContainers, nothingLeft)
