import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, bind, type CofferdamError, Container, type Lifetime, tmpfs } from 'cofferdam'
import t, { type Test } from 'tap'
import { native } from '#lib/base/index.js'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  scratch,
  traces,
  until,
} from '../support/index.js'

// build/Release/init-faulty is init with a switch: the how-manieth system call
// of a plan fails, or never returns. The switch is in the header of the plan,
// which is changed here on its way to the addon.
const EIO = 5
const HANG = 0xffff
const FAULT_AT = 16
const FAULT_ERRNO = 20

let fault: { half: 'create' | 'start'; at: number; errno: number } | undefined

function withFault(half: 'create' | 'start', plan: Uint8Array): Uint8Array {
  if (fault?.half !== half) return plan
  const bytes = Buffer.from(plan)
  bytes.writeUInt32LE(fault.at, FAULT_AT)
  bytes.writeUInt32LE(fault.errno, FAULT_ERRNO)
  return bytes
}

if (process.getuid?.() === 0) {
  const addon = native()
  addon.useInit(readFileSync(new URL('../../../build/Release/init-faulty', import.meta.url)))
  const { create, start } = addon
  // Nothing is made in advance, so that every start makes the same calls.
  addon.create = (flags, _ahead, host, plan, ...rest) =>
    create(flags, null, host, withFault('create', plan), ...rest)
  addon.start = (id, plan, ...rest) => start(id, withFault('start', plan), ...rest)
}

const nothingLeft = await rememberTraces()

const stateFolder = mkdtempSync(join(tmpdir(), 'cofferdam-test-'))
t.teardown(() => rmSync(stateFolder, { recursive: true }))

/** A container that uses every kind of step, with targets to be made in its root. */
function everything(t: Test) {
  const root = makeRoot(t)
  const source = scratch(t)
  const builder = () =>
    new Container('faulty')
      .rootfs(root, { readonly: true })
      .mount(hostPrograms, bind(source, '/made/bind', { readonly: true }), tmpfs('/made/tmpfs'))
      .process({ argv: ['true'], user: { uid: 7, gid: 7, groups: [8] }, cwd: '/usr' })
  return { root, builder }
}

function tree(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).sort()
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
    const before = { traces: traces(), tree: tree(root) }
    const steps = new Set<string | undefined>()
    let harmless = 0
    let at = 1
    let spared = 0
    // With a keeper the call of this number fails in both, and what comes first is told.
    const kept = lifetime !== 'attached'
    // The plan has as many calls as it takes until none fails any more.
    for (; spared < 8; at++) {
      fault = { half, at, errno: EIO }
      let error = await attempt(builder(), lifetime)
      fault = undefined
      if (error === undefined) {
        // A close that fails does no harm; nor does a call after the last.
        harmless++
        spared++
        continue
      }
      spared = 0
      if (!kept) calls[half] = at
      // init that fails once it is parked is found dead by start().
      if (error.code === 'ERR_STATE') error = (error.cause ?? error) as CofferdamError
      if (kept ? error.name !== 'CofferdamError' : error.code !== 'EIO' || !error.syscall)
        t.fail(`call ${at}: ${error.code} ${error.message}`)
      steps.add(error.step)
    }
    t.ok(at > (half === 'create' ? 150 : 25), `${at} calls were tried, ${harmless} did no harm`)
    const expected =
      half === 'create'
        ? [
            ...(lifetime === 'detached' ? ['keeper'] : []),
            'detach from the host',
            ...(kept ? ['start socket', 'listen'] : []),
            'namespaces',
            'network namespace',
            'hostname',
            'propagation',
            'rootfs',
            'proc',
            'sysfs',
            'dev',
            'bind /usr',
            'bind /made/bind',
            'tmpfs /made/tmpfs',
            'masked paths',
            'read-only paths',
            'pivot',
            'read-only root',
            // while it is parked
            'session',
            'bounding set',
            'signals',
          ]
        : ['streams', 'stream owner', 'user', 'capabilities', 'no new privileges', 'ready', 'exec']
    // Where the keeper fails first, nothing else does.
    if (lifetime !== 'detached' || half === 'start')
      for (const step of expected) t.ok(steps.has(step), `${step} has failed as itself`)
    // A keeper that has ended is noticed in a later turn of the event loop.
    await until(() => {
      const { children, descriptors } = traces()
      const { traces: first } = before
      return children.length === first.children.length && descriptors === first.descriptors
    })

    const after = { traces: traces(), tree: tree(root) }
    t.same(after.traces.children, before.traces.children, 'no process is left')
    t.equal(after.traces.mounts, before.traces.mounts, 'no mount is left')
    t.equal(after.traces.descriptors, before.traces.descriptors, 'no descriptor is left')
    t.same(after.tree, before.tree, 'no mount target is left')
    t.same(existsSync(stateFolder) ? readdirSync(stateFolder) : [], [], 'no state is left')
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
    const before = { traces: traces(), tree: tree(root) }
    for (let at = 1; at <= calls[half]; at += 5) {
      const known = traces().children
      fault = { half, at, errno: HANG }
      const attempted = attempt(builder())
      const pid = await hangingChild(known)
      fault = undefined
      process.kill(pid, 'SIGKILL')
      const error = await attempted
      if (error?.code !== 'ERR_INIT_DIED') t.fail(`call ${at}: ${error?.code} ${error?.message}`)
    }
    const after = { traces: traces(), tree: tree(root) }
    t.same(after.traces.children, before.traces.children, 'no process is left')
    t.equal(after.traces.descriptors, before.traces.descriptors, 'no descriptor is left')
    t.same(after.tree, before.tree, 'no mount target is left')
  })

t.test('nothing is left behind', needsRoot, nothingLeft)
