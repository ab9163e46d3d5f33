// Groups that an ordinary user's own systemd makes.

import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'

/** The user of the virtual machine's, whose session is nobody's. */
const NAME = 'cofferdam-guest'
const uid = Number(
  new RegExp(`^${NAME}:x:(\\d+):`, 'm').exec(readFileSync('/etc/passwd', 'utf8'))?.[1],
)
const needsGuest =
  process.getuid?.() === 0 && Number.isInteger(uid)
    ? {}
    : { skip: `there is no user ${NAME}, which the virtual machine has` }

/** What a program of the user's has said, as JSON in its last line. */
async function asUser(body: string, args: string[] = []): Promise<Record<string, unknown>> {
  const script = `
    import { spawn } from 'node:child_process'
    import { once } from 'node:events'
    import { readFileSync } from 'node:fs'
    import { cgroups, Container, overlay } from 'cofferdam'
    const { Cgroup } = cgroups
    const inGroup = pid => /^0::(.*)$/m.exec(readFileSync('/proc/' + pid + '/cgroup', 'utf8'))?.[1]
    const say = value => console.log(JSON.stringify(value))
    ${body}`
  const command = [...args, process.execPath, '--input-type=module', '-e', script]
  const child = spawn(
    'setpriv',
    [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command],
    {
      cwd: new URL('../../..', import.meta.url),
      env: { PATH: process.env.PATH, HOME: '/tmp', XDG_RUNTIME_DIR: `/run/user/${uid}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const [out, errors] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])
  const lines = Buffer.concat(out).toString().trim().split('\n')
  try {
    return JSON.parse(lines.at(-1) as string)
  } catch {
    throw new Error(Buffer.concat([...out, ...errors]).toString())
  }
}

t.before(() => {
  if (!('skip' in needsGuest)) execFileSync('systemctl', ['start', `user@${uid}.service`])
})
t.teardown(() => {
  if (!('skip' in needsGuest)) execFileSync('systemctl', ['stop', `user@${uid}.service`])
})

const outside = `/user.slice/user-${uid}.slice/user@${uid}.service`

t.test('a scope of the user’s systemd, also for who is in another group', needsGuest, async t => {
  const said = await asUser(`
    const group = await Cgroup.create('mine', { limits: { memory: '64MiB', pids: 10 } })
    const child = spawn('sleep', ['100'])
    await group.add(child.pid)
    const show = spawn('systemctl', ['--user', 'show', group.unit, '--property=MemoryMax,Delegate'])
    const told = {
      manager: group.manager,
      path: group.path,
      is: inGroup(child.pid),
      shown: Buffer.concat(await show.stdout.toArray()).toString(),
      limits: await group.limits(),
      again: (await Cgroup.open('mine')).path,
    }
    await group.delete()
    say({ ...told, signal: child.signalCode ?? (await once(child, 'exit'))[1] })`)
  t.match(said, {
    manager: 'systemd',
    path: new RegExp(`^${outside}/app.slice/cofferdam-mine.scope/container$`),
    is: said.path,
    again: said.path,
    shown: /MemoryMax=67108864/,
    limits: { memory: { max: 67108864 }, pids: 10 },
    signal: 'SIGKILL',
  })
  t.match(said.shown, /Delegate=yes/)
})

const contained = `
    const box = await new Container('boxed')
      .rootfs(overlay({ lower: ['/'] }))
      .limits({ memory: '128MiB', pids: 20 })
      .create()
    const main = await box.start(['sh', '-c', 'sleep 100'])
    const told = { is: inGroup(main.pid), stats: (await box.stats()).pids?.current }
    await box.update({ memory: '64MiB' })
    told.limits = await box.cgroup.limits()
    await box.delete()
    say(told)`

t.test('a container in it', needsGuest, async t => {
  for (const args of [['systemd-run', '--user', '--scope', '--quiet'], []]) {
    const said = await asUser(contained, args)
    t.match(said, {
      is: new RegExp(`^${outside}/app.slice/cofferdam-boxed.scope/container`),
      limits: { memory: { max: 67108864 }, pids: 20 },
    })
  }
})
