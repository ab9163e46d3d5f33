import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups, namespaces } from 'cofferdam'
import t, { type Test } from 'tap'
import { domainController, groupsLeft, needsUnified, parentGroup } from '../support/cgroups.js'
import { needsRoot, rememberTraces, scratch } from '../support/index.js'

const nothingLeft = await rememberTraces()
const { spawn } = namespaces

const { hierarchies } = cgroups.layoutNow()
const unified = hierarchies.find(({ version }) => version === 2)
const needsOld = hierarchies.some(({ version }) => version === 1)
  ? needsRoot
  : { skip: 'there is no hierarchy of version 1' }

/** A group of version 2 that goes with the test: its name below the mount, and its folder. */
async function group(t: Test) {
  const { path, folders } = await parentGroup(t, { controllers: [] })
  return { name: path, path: folders[0]?.path as string }
}

/** A program that says in which groups it is, and waits for its end. */
const script = ['sh', '-c', 'cat /proc/self/cgroup; read _']

/** What a process is in, as this program sees it: the groups' names by hierarchy. */
async function seen(options: namespaces.SpawnOptions) {
  const child = await spawn(script, { ...options, stdio: 'pipe' })
  const own = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8')
  child.stdin.end()
  return { outside: cgroups.parseMembership(own), inside: await child.stdout.text() }
}

t.test('a process is made in its group of version 2', needsUnified, async t => {
  const { name, path } = await group(t)
  const { outside, inside } = await seen({ cgroup: path })
  t.equal(outside.find(({ hierarchy }) => hierarchy === 0)?.path, name)
  t.match(inside, new RegExp(`^0::${name}$`, 'm'))
  t.match(readFileSync('/proc/self/cgroup', 'utf8'), /^0::\/(?!cofferdam-test)/m, 'this one is not')
})

t.test('its cgroup namespace begins there', needsUnified, async t => {
  const { name, path } = await group(t)
  const { outside, inside } = await seen({ cgroup: path, unshare: ['cgroup', 'pid', 'mount'] })
  t.match(inside, /^0::\/$/m)
  t.equal(outside.find(({ hierarchy }) => hierarchy === 0)?.path, name)
})

t.test('a process goes to its groups of version 1 itself', needsOld, async t => {
  const { path, folders } = await parentGroup(t)
  const { outside, inside } = await seen({ cgroup: { folders }, unshare: ['cgroup'] })
  const others = outside.filter(each => each.path !== path)
  t.ok(others.every(({ controllers }) => controllers.some(name => name.startsWith('name='))))
  t.ok(outside.length - others.length === folders.length, 'in each hierarchy')
  const shown = [...inside.matchAll(/:(\/.*)$/gm)].map(match => match[1])
  t.equal(shown.filter(each => each === '/').length, outside.length)
  const one = await seen({ cgroup: folders[0]?.path as string })
  t.equal(one.outside.filter(each => each.path === path).length, 1, 'or in one only')
})

t.test('in a group that is frozen nothing stands still', needsUnified, async t => {
  const { path } = await group(t)
  writeFileSync(join(path, 'cgroup.freeze'), '1')
  t.teardown(() => writeFileSync(join(path, 'cgroup.freeze'), '0'))
  const refused = { code: 'EBUSY', syscall: 'clone3', hint: /frozen/ }
  const [other] = await Promise.all([
    spawn(['true']),
    t.rejects(spawn(['true'], { cgroup: path }), refused),
  ])
  t.same(await other.exited, { exitCode: 0, signal: null })
  t.equal(readFileSync(join(path, 'cgroup.procs'), 'utf8'), '')
  writeFileSync(join(path, 'cgroup.freeze'), '0')
  const again = await spawn(['true'], { cgroup: path })
  t.same(await again.exited, { exitCode: 0, signal: null })
})

t.test('one above it may be the one that is frozen', needsUnified, async t => {
  const { path } = await group(t)
  const below = join(path, 'below')
  mkdirSync(below)
  t.teardown(() => rmdirSync(below))
  writeFileSync(join(path, 'cgroup.freeze'), '1')
  t.teardown(() => writeFileSync(join(path, 'cgroup.freeze'), '0'))
  await t.rejects(spawn(['true'], { cgroup: below }), { code: 'EBUSY', hint: /frozen/ })
})

t.test('a group that takes no process says why', needsUnified, async t => {
  const { path } = await group(t)
  const top = unified?.mountPoint as string
  const controller = domainController
  if (controller !== undefined) {
    const handed = join(top, 'cgroup.subtree_control')
    const before = readFileSync(handed, 'utf8').split(/\s/).includes(controller)
    writeFileSync(handed, `+${controller}`)
    writeFileSync(join(path, 'cgroup.subtree_control'), `+${controller}`)
    const error = { code: 'EBUSY', hint: /subtree_control/ }
    await t.rejects(spawn(['true'], { cgroup: path }), error)
    writeFileSync(join(path, 'cgroup.subtree_control'), `-${controller}`)
    if (!before) writeFileSync(handed, `-${controller}`)
  }
  const threaded = join(path, 'threaded')
  mkdirSync(threaded)
  t.teardown(() => rmdirSync(threaded))
  writeFileSync(join(threaded, 'cgroup.type'), 'threaded')
  const invalid = join(path, 'invalid')
  mkdirSync(invalid)
  t.teardown(() => rmdirSync(invalid))
  t.equal(readFileSync(join(invalid, 'cgroup.type'), 'utf8'), 'domain invalid\n')
  await t.rejects(spawn(['true'], { cgroup: invalid }), { code: 'EOPNOTSUPP', hint: /threaded/ })
})

t.test('what is no group is refused before anything is done', async t => {
  const folder = scratch(t)
  await t.rejects(spawn(['true'], { cgroup: folder }), {
    code: 'ERR_INVALID_OPTION',
    option: 'cgroup',
  })
  await t.rejects(spawn(['true'], { cgroup: join(folder, 'none') }), {
    code: 'ENOENT',
    option: 'cgroup',
    path: join(folder, 'none'),
  })
  for (const wrong of [7, {}, null, ''])
    await t.rejects(spawn(['true'], { cgroup: wrong as never }), {
      code: 'ERR_INVALID_OPTION',
      option: 'cgroup',
    })
  const folders = [{ version: 2 as const, path: join(folder, 'none') }]
  await t.rejects(spawn(['true'], { cgroup: { folders } }), { code: 'ENOENT', step: 'group' })
  const notOne = [{ version: 2 as const, path: folder }]
  await t.rejects(spawn(['true'], { cgroup: { folders: notOne } }), {
    code: 'EBADF',
    hint: /version 2/,
  })
  const old = [{ version: 1 as const, path: folder }]
  await t.rejects(spawn(['true'], { cgroup: { folders: old } }), {
    code: 'ENOENT',
    step: 'enter groups',
    path: join(folder, 'tasks'),
  })
})

t.test('before Linux 5.7 it enters before it is executed', needsUnified, async t => {
  const { name, path } = await group(t)
  const log = join(scratch(t), 'trace')
  const program = `
    const { namespaces } = await import(${JSON.stringify(import.meta.resolve('cofferdam'))})
    const child = await namespaces.spawn(['cat', '/proc/self/cgroup'], { cgroup: process.argv[1] })
    process.stdout.write(await child.stdout.text())`
  // The second call of each thread fails, as in a kernel that does not know it; the
  // spawner's first makes another thread.
  const inject = [
    '-f',
    '-o',
    log,
    '-e',
    'trace=clone3,openat',
    '-e',
    'inject=clone3:error=ENOSYS:when=2',
  ]
  const node = [process.execPath, '--input-type=module', '-e', program, path]
  const shown = execFileSync('strace', [...inject, ...node], { encoding: 'utf8', timeout: 60_000 })
  t.match(shown, new RegExp(`^0::${name}$`, 'm'))
  const trace = readFileSync(log, 'utf8')
  t.match(trace, /clone3\(.*CLONE_INTO_CGROUP.*ENOSYS/)
  t.match(trace, /openat\(\d+, "cgroup\.procs", O_WRONLY/)
})

t.test('and so does what a keeper makes, which stays outside itself', needsUnified, async t => {
  const folder = scratch(t)
  const log = join(folder, 'trace')
  const program = `
    import { readFileSync } from 'node:fs'
    const { Container, overlay } = await import(${JSON.stringify(import.meta.resolve('cofferdam'))})
    const box = await new Container('kept').rootfs(overlay({ lower: ['/'] })).cgroup()
      .create({ lifetime: 'detached', stateFolder: process.argv[1] })
    const of = pid => /^0::(.*)$/m.exec(readFileSync('/proc/' + pid + '/cgroup', 'utf8'))[1]
    const parent = /^PPid:\\s*(\\d+)/m.exec(readFileSync('/proc/' + box.pid + '/status', 'utf8'))[1]
    console.log(JSON.stringify({ box: of(box.pid), keeper: of(parent), own: of('self') }))
    await box.delete()`
  const inject = ['-f', '-o', log, '-e', 'trace=clone3', '-e', 'inject=clone3:error=ENOSYS:when=1']
  const node = [process.execPath, '--input-type=module', '-e', program, folder]
  for (const before of [[], ['strace', ...inject]]) {
    const [command, ...args] = [...before, ...node] as [string, ...string[]]
    const { box, keeper, own } = JSON.parse(
      execFileSync(command, args, { encoding: 'utf8', timeout: 60_000 }),
    )
    t.match(box, /\/kept$/)
    t.equal(keeper, own)
  }
  t.match(readFileSync(log, 'utf8'), /clone3\(.*CLONE_INTO_CGROUP.*ENOSYS/)
})

t.test('no group is left', t => {
  t.same(groupsLeft(), [])
  t.end()
})

t.test('nothing is left behind', nothingLeft)
