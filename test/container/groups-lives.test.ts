// Control groups of containers that other programs find, and of those whose making fails.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CofferdamError, Container, cgroups } from 'cofferdam'
import t, { type Test } from 'tap'
import { controlling, foldersAt, groupsOf, needsController, placeOf } from '../support/cgroups.js'
import { failEach } from '../support/faults.js'
import {
  needsRoot,
  overHost,
  program,
  rememberTraces,
  runIn,
  scratch,
  until,
} from '../support/index.js'
import { asUser, GROUP, USER } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()

const everywhere = (path: string) => controlling.map(() => path)
const readPseudo = (path: string) => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
const parentOf = (pid: number) =>
  Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])

for (const lifetime of ['detached', 'released'] as const)
  t.test(`another program finds the group of a ${lifetime} one`, needsRoot, async t => {
    const state = join(scratch(t), 'state')
    const name = `groups-${lifetime}-${process.pid}`
    await program(
      state,
      `const box = await over('${name}').limits({}).create({ lifetime: '${lifetime}', ...state })
      await box.start(['sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9; do true; done; sleep 1000'], { stdio: 'ignore' })
      process.exit()`,
    )
    const box = await Container.load(name, { stateFolder: state })
    t.teardown(() => box.delete())
    const pid = box.pid as number
    t.same(groupsOf(pid), everywhere(placeOf(name)))
    t.equal(box.cgroup?.path, placeOf(name))
    if (lifetime === 'detached')
      for (const path of groupsOf(parentOf(pid)))
        t.notMatch(path, /groups-detached/, 'its keeper is not in it')
    const other = await box.exec(['sleep', '100'])
    t.same(groupsOf(other.pid), everywhere(placeOf(name)))
    t.ok(((await box.stats()).cpu?.usage ?? 0) > 0)
    await box.update({ pids: 20 })
    t.match(await box.cgroup?.limits(), { pids: 20 })
    await program(
      state,
      `const box = await Container.load('${name}', state)
      await box.pause()
      if (box.status !== 'paused') throw new Error(box.status)`,
    )
    t.equal(box.status, 'paused')
    await box.resume()
    t.equal(box.status, 'running')
    await program(
      state,
      `const [box] = await Container.list(state)
      await box.delete()`,
    )
    t.equal(box.status, 'deleted')
    t.same(foldersAt(placeOf(name)), [])
    t.notOk(/\) [^ZX]/.test(readPseudo(`/proc/${pid}/stat`)))
  })

t.test('what a killed program has left is cleared by another', needsRoot, async t => {
  const state = join(scratch(t), 'state')
  const name = `groups-killed-${process.pid}`
  const ran = program(
    state,
    `const box = await over('${name}').isolate('mount').limits({}).create(state)
    await box.start(['sh', '-c', 'setsid sleep 1000 & wait'], { stdio: 'ignore' })
    process.kill(process.pid, 'SIGKILL')`,
  )
  await t.rejects(ran, /SIGKILL/)
  t.ok(foldersAt(placeOf(name)).length > 0, 'it could not take anything back')
  const [box] = await Container.list({ stateFolder: state })
  t.equal(box?.id, name)
  t.ok(await until(() => box?.status === 'stopped'))
  await box?.delete()
  t.same(foldersAt(placeOf(name)), [])
  t.same(readdirSync(state), [])
})

t.test('a program can be asked how an attached one of another does', needsRoot, async t => {
  const state = join(scratch(t), 'state')
  await using box = await overHost().limits({}).create({ stateFolder: state })
  await box.start(['sleep', '100'])
  const said = await program(
    state,
    `const [box] = await Container.list(state)
    const { pids } = await box.stats()
    console.log(JSON.stringify([box.id, pids?.current]))`,
  )
  t.same(JSON.parse(said), [box.id, 1])
})

t.test('a create() that fails leaves no group, whatever fails', needsRoot, async t => {
  const attempt = async () => {
    try {
      await using box = await overHost('groups-fault').limits({}).create()
      await box.start(['true'])
      return undefined
    } catch (error) {
      return error as CofferdamError
    }
  }
  const tried = await failEach({ half: 'create' }, attempt, (error, at) => {
    t.ok(error.code)
    t.same(foldersAt(placeOf('groups-fault')), [], `no group is left after call ${at}`)
  })
  t.ok(tried > 100)
})

t.test('create() that is given up leaves no group', needsRoot, async t => {
  for (const after of [0, 1, 2, 3, 5]) {
    const abort = new AbortController()
    const making = overHost('groups-abort').limits({}).create({ signal: abort.signal })
    setTimeout(() => abort.abort(), after)
    await making.then(
      box => box.delete(),
      error => t.match(error, { name: 'AbortError' }),
    )
    t.same(foldersAt(placeOf('groups-abort')), [])
  }
})

const delegated = (t: Test, path: string): string => {
  const folders = controlling.map(({ mountPoint }) => `${mountPoint}${path}`)
  t.teardown(async () => {
    await (await cgroups.Cgroup.open(path)).delete()
  })
  return folders
    .map(
      folder => `mkdir -p ${folder}/user
      for file in cpuset.cpus cpuset.mems; do
        for at in ${folder} ${folder}/user; do
          [ -e $at/$file ] && cat \${at%/*}/$file > $at/$file
        done
      done
      for at in ${folder}/user; do chown ${USER}:${GROUP} $at
        for file in cgroup.procs cgroup.threads cgroup.subtree_control tasks; do
          [ -e $at/$file ] && chown ${USER}:${GROUP} $at/$file
        done
      done
      echo $$ > ${folder}/user/cgroup.procs`,
    )
    .join('\n')
    .replaceAll('done\n', 'done; true\n')
}

t.test(
  'an ordinary user limits containers where a group is its own',
  needsController('pids'),
  async t => {
    const path = `/cofferdam-test-${process.pid}-rootless`
    const [where, limits, paused, left] = await asUser(
      t,
      `const box = await overHost().limits({ pids: 30 }).create()
    say(readFileSync('/proc/' + box.pid + '/cgroup', 'utf8'))
    say(await box.cgroup.limits())
    await box.start(['sleep', '100'])
    await box.pause(); const status = box.status; await box.resume()
    say(status)
    await box.delete()
    say(existsSync(box.cgroup.folders[0].path))`,
      { before: delegated(t, path) },
    )
    t.match(where, new RegExp(`:${path}/user/[0-9a-f]{12}$`, 'm'))
    t.match(limits, { pids: 30 })
    t.equal(paused, 'paused')
    t.equal(left, false)
  },
)

t.test('and is told how to get one where there is none', needsRoot, async t => {
  const [error, without, omitted] = await asUser(
    t,
    `try { await overHost().limits({ pids: 30 }).create() } catch (error) { say(told(error)) }
    const box = await overHost().limits({ pids: 30 }, { optional: true }).create()
    say((await runIn(box, ['true'])).exitCode)
    say(box.omitted.map(({ step, error }) => [step, error.code]))
    await box.delete()`,
  )
  t.match(error, { code: 'EACCES', hint: /systemd-run --user --scope -p Delegate=yes/ })
  t.equal(without, 0)
  t.same(omitted, [['control group', 'EACCES']])
})

t.test(
  'in a user namespace the container’s root owns what is delegated',
  needsController('pids'),
  async t => {
    const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
    const { mounts } = await import('cofferdam')
    const builder = overHost()
      .idMappings({ uid: ids, gid: ids })
      .limits({ pids: 30 })
      .cgroup({ delegate: true })
      .mount(mounts.cgroup('/sys/fs/cgroup', { readonly: false }))
    await using box = await builder.create()
    const inside = join('/sys/fs/cgroup', ...(controlling.length > 1 ? ['pids'] : []))
    const { stdout, stderr } = await runIn(box, [
      'sh',
      '-c',
      `cd ${inside}; mkdir own && echo $$ > own/cgroup.procs && cat /proc/self/cgroup; echo 1000 > pids.max`,
    ])
    t.match(stdout, /:\/own$/m)
    t.match(stderr, /Permission denied/, 'its own limits are not its to change')
  },
)

t.test('nothing is left', async t => {
  await nothingLeft(t)
})
