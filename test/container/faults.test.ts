import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, bind, type CofferdamError, Container, type Lifetime, tmpfs } from 'cofferdam'
import t, { type Test } from 'tap'
import { EIO, failEach, HANG, remember, setFault } from '../support/faults.js'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  scratch,
  traces,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const stateFolder = mkdtempSync(join(tmpdir(), 'cofferdam-test-'))
t.teardown(() => rmSync(stateFolder, { recursive: true }))

const attributes = {
  rlimits: { nofile: 256, core: 0 },
  oomScoreAdjust: 100,
  nice: 1,
  scheduler: { policy: 'batch' },
  ioPriority: { class: 'idle' },
  affinity: { setup: '0-8191', workload: '0-8191' },
  memoryPolicy: { mode: 'local' },
  personality: { flags: ['addr-no-randomize'] },
  keyring: { name: 'faulty' },
} as const

/** A container that uses every kind of step, with targets to be made in its root. */
function everything(t: Test) {
  const root = makeRoot(t)
  const source = scratch(t)
  const builder = () =>
    new Container('faulty')
      .rootfs(root, { readonly: true })
      .mount(hostPrograms, bind(source, '/made/bind', { readonly: true }), tmpfs('/made/tmpfs'))
      .capabilities({ drop: ['MKNOD'], securebits: ['no_setuid_fixup'] })
      .domainname('faulty.test')
      .sysctls({ 'net.ipv4.ip_forward': 1, 'kernel.msgmax': 9000 })
      .process({
        argv: ['true'],
        user: { uid: 7, gid: 7, groups: [8] },
        cwd: '/usr',
        ...attributes,
      })
  return { root, builder }
}

/** Makes and runs a container; gives the error, or undefined when all went well. */
async function attempt(
  builder: Container,
  lifetime: Lifetime = 'attached',
): Promise<CofferdamError | undefined> {
  let box: Box | undefined
  try {
    box = await builder.create({ lifetime, stateFolder })
    const main = await box.start()
    const { exitCode } = await main.exited
    if (exitCode !== 0) throw new Error(`exit code ${exitCode}`)
    return undefined
  } catch (error) {
    return error as CofferdamError
  } finally {
    await box?.delete()
  }
}

/** How many system calls each half has, counted by failing them all. */
const calls = { create: 0, start: 0 }

const everyCall = (['attached', 'detached', 'released'] as const).flatMap(lifetime =>
  (['create', 'start'] as const).map(half => ({ lifetime, half })),
)
for (const { lifetime, half } of everyCall)
  t.test(`each system call of ${half} in turn fails, ${lifetime}`, needsRoot, async t => {
    const { root, builder } = everything(t)
    const check = remember(root)
    const steps = new Set<string | undefined>()
    // With a keeper the call of this number fails in both, and what comes first is told.
    const kept = lifetime !== 'attached'
    const tried = await failEach(
      { half },
      () => attempt(builder(), lifetime),
      (failure, at) => {
        if (!kept) calls[half] = at
        // init that fails once it is parked is found dead by start().
        const parked = failure.code === 'ERR_STATE' && failure.cause !== undefined
        const error = parked ? (failure.cause as CofferdamError) : failure
        // A file that could not be closed is still open for writing.
        if (error.code === 'EBUSY' && error.step === 'read-only root') return
        if (kept ? error.name !== 'CofferdamError' : error.code !== 'EIO' || !error.syscall)
          t.fail(`call ${at}: ${error.code} ${error.message}`)
        steps.add(error.step)
      },
    )
    t.ok(tried > (half === 'create' ? 150 : 25), `${tried} calls were tried`)
    const expected =
      half === 'create'
        ? [
            ...(lifetime === 'detached' ? ['keeper'] : []),
            'detach from the host',
            'affinity of the setup',
            ...(kept ? ['start socket', 'listen'] : []),
            'namespaces',
            'network namespace',
            'hostname',
            'domain name',
            'propagation',
            'rootfs',
            'proc',
            'sysfs',
            'dev',
            'kernel parameters',
            'bind /usr',
            'bind /made/bind',
            'tmpfs /made/tmpfs',
            'masked paths',
            'read-only paths',
            'pivot',
            'read-only root',
            'sysctl net.ipv4.ip_forward',
            'sysctl kernel.msgmax',
            // while it is parked
            'session',
            'bounding set',
            'signals',
          ]
        : [
            'streams',
            'stream owner',
            'OOM score',
            'affinity of the setup',
            'affinity',
            'memory policy',
            'personality',
            'keyring',
            'I/O priority',
            'nice',
            'scheduler',
            'rlimits',
            'user',
            'capabilities',
            'no new privileges',
            'ready',
            'exec',
          ]
    // Where the keeper fails first, nothing else does.
    if (lifetime !== 'detached' || half === 'start')
      for (const step of expected) t.ok(steps.has(step), `${step} has failed as itself`)
    await check(t)
    t.same(existsSync(stateFolder) ? readdirSync(stateFolder) : [], [], 'no state is left')
  })

t.test('each system call that fills a tmpfs fails in turn', needsRoot, async t => {
  const root = makeRoot(t)
  mkdirSync(join(root, 'tmp/directory'))
  writeFileSync(join(root, 'tmp/directory/file'), 'content')
  symlinkSync('file', join(root, 'tmp/link'))
  const filled = () =>
    new Container()
      .rootfs(root)
      .mount(hostPrograms, tmpfs('/tmp', { copyUp: true }))
      .process({ argv: ['true'] })
  const before = traces()
  const failed = new Set<string | undefined>()
  for (let at = 1, spared = 0; spared < 8; at++) {
    setFault({ half: 'create', at, errno: EIO })
    const error = await attempt(filled())
    setFault(undefined)
    spared = error === undefined ? spared + 1 : 0
    if (error?.step !== 'tmpfs /tmp') continue
    failed.add(error.syscall)
    if (error.code !== 'EIO') t.fail(`call ${at}: ${error.code} ${error.message}`)
  }
  // read(2) is number 0 on x86_64, which stands for none in a report.
  const calls = ['openat2', 'statx', 'getdents64', 'mkdirat', 'write', 'readlinkat']
  for (const name of [...calls, 'symlinkat', 'fchownat', 'fchmodat', 'flistxattr', 'utimensat'])
    t.ok(failed.has(name), `${name} has failed`)
  await until(() => traces().children.length === before.children.length)
  const after = traces()
  t.same(after.children, before.children, 'no process is left')
  t.equal(after.mounts, before.mounts, 'no mount is left')
  t.equal(after.descriptors, before.descriptors, 'no descriptor is left')
})

t.test('each system call of exec() in turn fails', needsRoot, async t => {
  const { builder } = everything(t)
  // Without a PID namespace, for which it would have to go on in another process: of
  // one that fails at the very message that says so nobody hears.
  const apart = builder().isolate('mount', 'uts', 'ipc', 'network')
  await using box = await apart.create({ stateFolder })
  await box.start(['sleep', '600'], { stdio: 'ignore' })
  const before = traces()
  const steps = new Set<string | undefined>()
  for (const half of ['create', 'start'] as const) {
    const attempt = async () => {
      try {
        const joined = await box.exec(['true'], { stdio: 'ignore' })
        await joined.exited
        return undefined
      } catch (error) {
        return error as CofferdamError
      }
    }
    await failEach({ half }, attempt, ({ code, step, message }, at) => {
      if (code !== 'EIO') t.fail(`${half}, call ${at}: ${code} ${message}`)
      steps.add(step)
    })
  }
  const joining = ['affinity of the setup', 'OOM score', 'join namespaces', 'session', 'signals']
  for (const step of [...joining, 'rlimits', 'scheduler', 'keyring', 'user', 'exec'])
    t.ok(steps.has(step), `${step} has failed as itself`)
  await until(() => traces().children.length === before.children.length)
  t.same(traces().children, before.children, 'no process is left')
})

/** init's pid, once it hangs in the call that stands for one that never returns. */
async function hangingChild(known: readonly number[]): Promise<number> {
  for (;;) {
    const fresh = traces().children.filter(pid => !known.includes(pid))
    for (const pid of fresh) {
      const text = (() => {
        try {
          return readFileSync(`/proc/${pid}/wchan`, 'utf8')
        } catch {
          return ''
        }
      })()
      if (/poll/.test(text)) return pid
    }
    await sleep(1)
  }
}

for (const half of ['create', 'start'] as const)
  t.test(`init is killed in each step of ${half}`, needsRoot, async t => {
    const { root, builder } = everything(t)
    const check = remember(root)
    for (let at = 1; at <= calls[half]; at += 5) {
      const known = traces().children
      setFault({ half, at, errno: HANG })
      const attempted = attempt(builder())
      const pid = await hangingChild(known)
      setFault(undefined)
      process.kill(pid, 'SIGKILL')
      const error = await attempted
      if (error?.code !== 'ERR_INIT_DIED') t.fail(`call ${at}: ${error?.code} ${error?.message}`)
    }
    await check(t)
  })

t.test('nothing is left behind', needsRoot, nothingLeft)
