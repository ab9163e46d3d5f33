// Root file systems that lead targets astray: with symbolic links of every sort, at
// every depth, and exchanged while the container is made. Whatever comes of it,
// nothing outside the root changes, and nothing is mounted there.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type CofferdamError, Container, mounts } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot, rememberTraces, scratch, until } from '../support/index.js'

const { bind, device, directory, file, fileSystem, overlay, symlink, tmpfs } = mounts
const nothingLeft = await rememberTraces()

const TARGET = '/a/b/c'

/** What is given to be mounted. */
interface Sources {
  folder: string
  file: string
}

/** All that takes a target, on its way to a target that is a trap. */
const kinds: Record<string, (builder: Container, sources: Sources) => Container> = {
  bind: (builder, { folder }) => builder.mount(bind(folder, TARGET)),
  'bind of a file': (builder, { file }) => builder.mount(bind(file, TARGET)),
  'bind that hears': (builder, { folder }) =>
    builder.mount(bind(folder, TARGET, { propagation: 'rslave' })),
  tmpfs: builder => builder.mount(tmpfs(TARGET)),
  'tmpfs that is filled': builder => builder.mount(tmpfs(TARGET, { copyUp: true })),
  'file system': builder => builder.mount(fileSystem('ramfs', TARGET)),
  proc: builder => builder.mount(mounts.proc(TARGET)),
  sysfs: builder => builder.mount(mounts.sysfs(TARGET)),
  devpts: builder => builder.mount(mounts.devpts(TARGET)),
  cgroup: builder => builder.mount(mounts.cgroup(TARGET)),
  mqueue: builder => builder.mount(mounts.mqueue(TARGET)),
  overlay: (builder, { folder }) => builder.mount(overlay(TARGET, { lower: [folder] })),
  'overlay that hears': (builder, { folder }) =>
    builder.mount(overlay(TARGET, { lower: [folder], propagation: 'shared' })),
  directory: builder => builder.mount(directory(TARGET, { mode: 0o2700, uid: 7 })),
  file: builder => builder.mount(file(TARGET, 'evil', { mode: 0o4755, uid: 7 })),
  'file that is mounted': builder => builder.mount(file(TARGET, 'evil', { mount: true })),
  symlink: builder => builder.mount(symlink(TARGET, 'evil', { uid: 7 })),
  device: builder =>
    builder.mount(device(TARGET, { major: 1, minor: 3, uid: 7, source: '/dev/null' })),
  remount: builder => builder.mount(mounts.remount(TARGET, { readonly: true })),
  propagation: builder => builder.mount(mounts.propagate(TARGET, 'rshared')),
  unmount: builder => builder.mount(mounts.unmount(TARGET, { detach: true })),
  'move to it': builder => builder.mount(tmpfs('/from'), mounts.move('/from', TARGET)),
  'move from it': builder => builder.mount(mounts.move(TARGET, '/to')),
  'masked path': builder => builder.maskedPaths([TARGET]),
  'read-only path': builder => builder.readonlyPaths([TARGET]),
}

/** Where a link leads that is in the place of a part of the target. */
const traps: Record<string, (victim: string) => string> = {
  absolute: victim => victim,
  relative: victim => `../../../../../../../../../../../..${victim}`,
  'one up': () => '..',
  'the root': () => '/',
  'a magic link': victim => `/proc/self/root${victim}`,
  'a magic link to a directory': () => '/proc/self/cwd',
  'a magic link of process 1': victim => `/proc/1/root${victim}`,
  itself: () => 'loop',
}

interface Scene {
  root: string
  victim: string
  sources: Sources
  /** All that is outside the root, and the mounts of this program. */
  outside(): unknown
}

function scene(t: Test): Scene {
  const folder = scratch(t)
  const [root, victim] = [join(folder, 'root'), join(folder, 'victim')]
  for (const path of [root, victim, join(folder, 'source'), join(victim, 'b/c'), join(victim, 'c')])
    mkdirSync(path, { recursive: true })
  chmodSync(victim, 0o777)
  for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(root, name))
  writeFileSync(join(folder, 'file'), 'mine')
  writeFileSync(join(victim, 'file'), 'untouched')
  const sources = { folder: join(folder, 'source'), file: join(folder, 'file') }
  const outside = () => [
    ['victim', 'source', 'file'].flatMap(name => walk(join(folder, name))),
    readFileSync(join(victim, 'file'), 'utf8'),
    readFileSync('/proc/self/mountinfo', 'utf8'),
  ]
  return { root, victim, sources, outside }
}

/** All that is to be known of what is there, without following a link. */
function walk(path: string): string[] {
  const stat = lstatSync(path)
  const { mode, uid, gid, rdev } = stat
  const to = stat.isSymbolicLink() ? readlinkSync(path) : stat.isFile() ? stat.size : ''
  const below = stat.isDirectory() ? readdirSync(path).sort() : []
  return [
    `${path} ${mode} ${uid} ${gid} ${rdev} ${to}`,
    ...below.flatMap(name => walk(join(path, name))),
  ]
}

/** Makes a container and takes it back; the error, which has to be a typed one. */
async function attempt(builder: Container): Promise<CofferdamError | undefined> {
  try {
    const box = await builder.create()
    await box.delete()
    return undefined
  } catch (error) {
    if ((error as Error).name !== 'CofferdamError') throw error
    return error as CofferdamError
  }
}

for (const [kind, add] of Object.entries(kinds))
  t.test(`${kind}: links at every depth`, needsRoot, async t => {
    const { root, victim, sources, outside } = scene(t)
    for (const [trap, to] of Object.entries(traps))
      for (const parts of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
        for (const made of ['a', 'loop']) rmSync(join(root, made), { recursive: true, force: true })
        mkdirSync(join(root, ...parts.slice(0, -1)), { recursive: true })
        symlinkSync(to(victim), join(root, ...parts))
        const before = { outside: outside(), inside: walk(root) }
        const error = await attempt(add(new Container().rootfs(root), sources))
        const what = `${trap} at /${parts.join('/')}: ${error?.code ?? 'made'}`
        t.same(outside(), before.outside, `${what}: outside`)
        t.same(walk(root), before.inside, `${what}: inside, when it is gone`)
      }
  })

/** renameat2(2), which Node does not have; and RENAME_EXCHANGE. */
const RENAMEAT2 = { x64: 316, arm64: 276 }[process.arch as 'x64' | 'arm64']
const swap = `
  my ($one, $other) = @ARGV; $| = 1; print "on\\n";
  while (1) { syscall(${RENAMEAT2}, -100, $one, -100, $other, 2); }`

for (const [kind, add] of Object.entries(kinds))
  t.test(`${kind}: exchanged while it is made`, needsRoot, async t => {
    const { root, victim, sources, outside } = scene(t)
    const results = new Set<string>()
    for (const part of ['a', 'a/b']) {
      for (const made of ['a', 'trap']) rmSync(join(root, made), { recursive: true, force: true })
      mkdirSync(join(root, 'a/b'), { recursive: true })
      symlinkSync(`../../../../../../../../../../../..${victim}`, join(root, 'trap'))
      const before = outside()
      const racer = spawn('perl', ['-e', swap, join(root, part), join(root, 'trap')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      try {
        await once(racer.stdout, 'data')
        for (let i = 0; i < 12; i++) {
          const error = await attempt(add(new Container().rootfs(root), sources))
          results.add(error?.code ?? 'made')
        }
      } finally {
        racer.kill('SIGKILL')
        await once(racer, 'close')
      }
      t.same(outside(), before, `${part}: ${[...results].join(', ')}`)
    }
  })

t.test('a racer does meet the traps', needsRoot, async t => {
  // The same race against code that follows links by name, so that it can be lost.
  const { root, victim } = scene(t)
  mkdirSync(join(root, 'a'))
  symlinkSync(victim, join(root, 'trap'))
  const racer = spawn('perl', ['-e', swap, join(root, 'a'), join(root, 'trap')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(racer.stdout, 'data')
    const lost = await until(() => {
      for (let i = 0; i < 50; i++) writeFileSync(join(root, 'a', 'evil'), '')
      return readdirSync(victim).includes('evil')
    })
    t.ok(lost, 'who follows names writes outside')
  } finally {
    racer.kill('SIGKILL')
    await once(racer, 'close')
  }
})

t.test('nothing is left behind', needsRoot, nothingLeft)
