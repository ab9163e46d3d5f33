import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { attempt, namespaces, plan } from 'cofferdam'
import {
  affinityOf,
  affinityStep,
  ioPriorityStep,
  keyringStep,
  limitsOf,
  limitsStep,
  memoryPolicyStep,
  niceStep,
  oomScoreAdjustOf,
  oomScoreFromHost,
  oomScoreStep,
  openHostSysctls,
  parseAttributes,
  parseSysctls,
  personalityStep,
  schedulerStep,
  schedulingOf,
  sessionStep,
  sysctlStep,
} from 'cofferdam/process'
import t from 'tap'
import { needsRoot, rememberTraces } from '../support/index.js'

// Each step by itself, in a process that is no container's, as somebody would use
// it who writes a runtime.

const nothingLeft = await rememberTraces()

/** Carries out steps, and looks at the process meanwhile. */
async function look<T>(steps: readonly plan.Step[], at: (pid: number) => T): Promise<T> {
  const seen: T[] = []
  const run = ({ pid }: plan.HostContext) => void seen.push(at(pid))
  await attempt([...steps, { side: 'waiting', name: 'look', run }])
  return seen[0] as T
}

const parsed = (options: Parameters<typeof parseAttributes>[0]) =>
  parseAttributes(options) as Required<NonNullable<ReturnType<typeof parseAttributes>>>
const file = (name: string) => (pid: number) => readFileSync(`/proc/${pid}/${name}`, 'utf8').trim()

t.test('limits', async t => {
  const { rlimits } = parsed({ rlimits: { nofile: { soft: 40, hard: 50 }, core: 0 } })
  t.match(await look([limitsStep(rlimits)], limitsOf), {
    nofile: { soft: 40, hard: 50 },
    core: { soft: 0, hard: 0 },
  })
})

t.test('scheduling, and the nice value with it or apart', async t => {
  t.equal((await look([niceStep(6)], schedulingOf)).nice, 6)
  const { scheduler } = parsed({ scheduler: { policy: 'batch' } })
  t.match(await look([niceStep(6), schedulerStep(scheduler)], schedulingOf), {
    policy: 'batch',
    nice: 6,
  })
  const both = parsed({ scheduler: { policy: 'other', nice: 8 } })
  t.match(await look([schedulerStep(both.scheduler)], schedulingOf), { policy: 'other', nice: 8 })
})

t.test('I/O priority, processors', async t => {
  const { ioPriority } = parsed({ ioPriority: { class: 'best-effort', level: 7 } })
  const ionice = (pid: number) => execFileSync('ionice', ['-p', `${pid}`], { encoding: 'utf8' })
  t.equal(await look([ioPriorityStep(ioPriority)], ionice), 'best-effort: prio 7\n')
  const last = affinityOf('self').at(-1) as number
  t.same(await look([affinityStep('affinity', [last])], affinityOf), [last])
})

// An init's files in proc are root's.
t.test('memory, personality', needsRoot, async t => {
  const { memoryPolicy } = parsed({ memoryPolicy: { mode: 'bind', nodes: [0] } })
  t.match(await look([memoryPolicyStep(memoryPolicy)], file('numa_maps')), / bind:0 /)
  const { personality } = parsed({ personality: { flags: ['addr-no-randomize'] } })
  t.equal(await look([personalityStep(personality)], file('personality')), '00040000')
})

t.test('OOM score, by itself and from the host', async t => {
  t.equal(await look([oomScoreStep(77)], oomScoreAdjustOf), 77)
  if (process.getuid?.() === 0) t.equal(await look([oomScoreFromHost(78)], oomScoreAdjustOf), 78)
})

t.test('session and keyrings', async t => {
  const session = (pid: number) => file('stat')(pid).split(') ')[1]?.split(' ')[3]
  const pids: number[] = []
  const ours = session(process.pid)
  t.equal(await look([sessionStep()], pid => pids.push(pid) && session(pid)), `${pids[0]}`)
  t.equal(await look([], session), ours)
  // Of a keyring without a program there is nothing to be seen but that it was joined.
  await attempt([keyringStep('new'), keyringStep({ name: 'cofferdam-steps' })])
})

t.test('kernel parameters', needsRoot, async t => {
  const sys = plan.slot('sys')
  const sysctls = parseSysctls('sysctls', { 'net.ipv4.ip_forward': 1, 'kernel.msgmax': 9002 })
  const before = readFileSync('/proc/sys/kernel/msgmax', 'utf8')
  const inside = (pid: number) =>
    execFileSync(
      'nsenter',
      [
        `--target=${pid}`,
        '--net',
        '--ipc',
        'cat',
        '/proc/sys/net/ipv4/ip_forward',
        '/proc/sys/kernel/msgmax',
      ],
      { encoding: 'utf8' },
    )
  const printed = await look(
    [
      openHostSysctls(sys),
      namespaces.unshare(['network', 'ipc']),
      ...sysctls.map(sysctl => sysctlStep(sys, sysctl)),
    ],
    inside,
  )
  t.equal(printed, '1\n9002\n')
  t.equal(readFileSync('/proc/sys/kernel/msgmax', 'utf8'), before)
})

t.test('nothing is left behind', nothingLeft)
