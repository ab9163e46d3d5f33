// Root's powers one by one, and what stops working without each:
//   node out/examples/capabilities.js     (as root)
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bind, CofferdamError, Container, capabilities, overlay } from 'cofferdam'

const { afterExec, fileCapabilities, formatText, parseStatus, setFileCapabilities } = capabilities

/** What somebody who has the capability can do; what it says when it can't. */
const deeds = [
  ['CHOWN', 'chown 1000 /srv/mine'],
  ['FOWNER', 'chmod 600 /srv/theirs'],
  ['DAC_OVERRIDE', 'cat /srv/secret'],
  ['MKNOD', 'mknod /tmp/null c 1 3'],
  ['SYS_CHROOT', 'chroot / true'],
  ['SETUID', 'setpriv --reuid=1000 true'],
  ['SETGID', 'setpriv --regid=1000 --clear-groups true'],
  ['KILL', 'pkill -u 1000 sleep'],
  ['NET_BIND_SERVICE', `node -e "require('net').createServer().listen(80).unref()"`],
  ['SYS_ADMIN', 'hostname renamed'],
  ['SYS_NICE', 'renice -n -5 -p $$'],
] as const

// Docker's default set lacks the last two.
const add = ['SYS_ADMIN', 'SYS_NICE'] as const

if (process.geteuid?.() !== 0) {
  console.error('only root has powers to be dropped: run it as root')
  process.exit(1)
}

// Files of root's and of another user's, which containers find in /srv.
const folder = mkdtempSync(join(tmpdir(), 'capabilities-'))
chmodSync(folder, 0o755)
for (const [name, owner, mode] of [
  ['mine', 0, 0o644],
  ['theirs', 1000, 0o644],
  ['secret', 1000, 0o400],
] as const) {
  writeFileSync(join(folder, name), '')
  chownSync(join(folder, name), owner, owner)
  chmodSync(join(folder, name), mode)
}

function demo(): Container {
  return new Container()
    .rootfs(overlay({ lower: ['/'] }))
    .mount(bind(folder, '/srv', { nosuid: false }))
}

/** Does something as root of a container, with a process of another user beside it. */
async function attemptDeed(command: string, drop: readonly capabilities.Capability[]) {
  const names = add.filter(name => !drop.includes(name))
  await using box = await demo()
    .capabilities({ add: names, drop: drop.filter(name => !add.includes(name as 'SYS_NICE')) })
    .create()
  await box.start(['sleep', '60'], { stdio: 'ignore', user: 1000 })
  const deed = await box.exec(['sh', '-c', command])
  const said = (await deed.stderr?.text()) ?? ''
  const { exitCode } = await deed.exited
  if (exitCode === 0) return undefined
  return /Operation not permitted|EACCES|[^:\n]*\n$/.exec(said)?.[0].trim() ?? said
}

/** What a program in a container says that it may do. */
async function show(container: Container, program: string, user: number) {
  await using box = await container.create()
  const main = await box.start([program, '/proc/self/status'], { user })
  return parseStatus((await main.stdout.text()) ?? '')
}

try {
  console.log(
    `This kernel has ${capabilities.lastCapability() + 1} capabilities; Docker gives ${capabilities.defaults.length}.\n`,
  )
  console.log('Each dropped alone:')
  for (const [name, command] of deeds) {
    const [before, after] = await Promise.all([
      attemptDeed(command, []),
      attemptDeed(command, [name]),
    ])
    const shown = command.length > 45 ? `${command.slice(0, 44)}…` : command
    console.log(
      `  ${name.padEnd(17)} ${shown.padEnd(46)} ${before ?? 'works'}, then: ${after ?? 'still works'}`,
    )
  }

  console.log('\nOne after the other:')
  const dropped: capabilities.Capability[] = []
  for (const [name] of deeds) {
    dropped.push(name)
    const tries = await Promise.all(deeds.map(([, command]) => attemptDeed(command, dropped)))
    const left = tries.filter(failed => failed === undefined).length
    console.log(`  ${`without ${name}`.padEnd(25)} ${left} of ${deeds.length} still work`)
  }

  // An ordinary user has none, unless they are ambient: those an execve leaves alone.
  console.log('\nAn ordinary user:')
  const own = ['NET_BIND_SERVICE'] as const
  const sets = { bounding: own, permitted: own, effective: own, inheritable: own }
  const without = await show(demo().capabilities(sets), 'cat', 1000)
  const ambient = await show(demo().capabilities({ ...sets, ambient: own }), 'cat', 1000)
  console.log(`  permitted before the execve  ${formatText(without)}`)
  console.log(`  ambient as well              ${formatText(ambient)}`)

  // Or the file has them: then whoever executes it gets them, as far as the bounding
  // set allows and no_new_privs does not forbid it.
  console.log('\nA file with capabilities of its own:')
  const program = join(folder, 'cat')
  copyFileSync('/bin/cat', program)
  setFileCapabilities(program, { permitted: ['NET_RAW', 'CHOWN'], effective: true })
  for (const forbidden of [false, true]) {
    const container = demo().noNewPrivileges(forbidden)
    const before = await show(container, 'cat', 1000)
    const file = { capabilities: fileCapabilities(program) }
    const found = await show(container, '/srv/cat', 1000)
    const what = forbidden ? 'with no_new_privs' : 'without'
    console.log(`  ${what.padEnd(18)} computed: ${formatText(afterExec(before, file))}`)
    console.log(`  ${''.padEnd(18)} found:    ${formatText(found)}`)
  }
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true })
}
