import {
  conflict,
  type Duration,
  integerOption,
  invalidOption,
  keyOption,
  onlyKeys,
  parseDuration,
} from '../base/index.js'
import { call, flags, type InitStep, named, type Operation, step } from '../plan/index.js'
import { ordinaryScheduling } from '../run/index.js'

// linux/sched.h
const policies = {
  other: named('SCHED_OTHER', 0),
  fifo: named('SCHED_FIFO', 1),
  rr: named('SCHED_RR', 2),
  batch: named('SCHED_BATCH', 3),
  idle: named('SCHED_IDLE', 5),
  deadline: named('SCHED_DEADLINE', 6),
  ext: named('SCHED_EXT', 7),
} as const satisfies Record<SchedulingPolicy, object>

/** How the kernel shares out the processors; sched(7). `'ext'` is Linux 6.12's. */
export type SchedulingPolicy = 'other' | 'fifo' | 'rr' | 'batch' | 'idle' | 'deadline' | 'ext'

const schedulerFlags = {
  'reset-on-fork': named('SCHED_FLAG_RESET_ON_FORK', 0x1),
  reclaim: named('SCHED_FLAG_RECLAIM', 0x2),
  'dl-overrun': named('SCHED_FLAG_DL_OVERRUN', 0x4),
} as const satisfies Record<SchedulerFlag, object>

export type SchedulerFlag = 'reset-on-fork' | 'reclaim' | 'dl-overrun'

/** What `scheduler` takes. */
export interface SchedulerOptions {
  policy: SchedulingPolicy
  /** 1 to 99, of `'fifo'` and `'rr'`, which need it. */
  priority?: number
  /** As {@link AttributeOptions.nice}, of `'other'`, `'batch'` and `'ext'`. */
  nice?: number
  /**
   * `'reset-on-fork'`: children have the ordinary policy. Of `'deadline'`:
   * `'reclaim'`, which uses what others leave, and `'dl-overrun'`, SIGXCPU for
   * who takes longer than its runtime.
   */
  flags?: readonly SchedulerFlag[]
  /** Of `'deadline'`, which needs it: time on a processor in each period; 1,024 ns or more. */
  runtime?: Duration
  /** Until when it must have had it; at least `runtime`. */
  deadline?: Duration
  /** At least `deadline`, which it is by default. */
  period?: Duration
}

/** {@link SchedulerOptions}, checked; times in nanoseconds. */
export interface Scheduler {
  policy: SchedulingPolicy
  priority: number
  nice: number | undefined
  flags: readonly SchedulerFlag[]
  runtime: bigint
  deadline: bigint
  period: bigint
}

/** A nice value, -20 to 19. */
export function parseNice(option: string, value: unknown): number {
  return integerOption(option, value, -20, 19)
}

const nanoseconds = (option: string, time: Duration) =>
  BigInt(Math.round(parseDuration(option, time) * 1e6))

function parseTimes(options: SchedulerOptions) {
  const { policy, runtime, deadline, period } = options
  if (policy !== 'deadline') {
    for (const name of ['runtime', 'deadline', 'period'] as const)
      if (options[name] !== undefined)
        throw conflict(`scheduler.${name}`, `is of the policy 'deadline', and this is '${policy}'`)
    return { runtime: 0n, deadline: 0n, period: 0n }
  }
  const needed = (name: 'runtime' | 'deadline', value: Duration | undefined) => {
    if (value === undefined) throw invalidOption(`scheduler.${name}`, "'deadline' needs it")
    return nanoseconds(`scheduler.${name}`, value)
  }
  const times = {
    runtime: needed('runtime', runtime),
    deadline: needed('deadline', deadline),
    period: period === undefined ? 0n : nanoseconds('scheduler.period', period),
  }
  if (times.runtime < 1024n) throw invalidOption('scheduler.runtime', 'is less than 1024 ns')
  if (times.deadline < times.runtime)
    throw invalidOption('scheduler.deadline', 'is less than the runtime')
  if (period !== undefined && times.period < times.deadline)
    throw invalidOption('scheduler.period', 'is less than the deadline')
  return times
}

/**
 * @throws CofferdamError `ERR_INVALID_OPTION` and `ERR_CONFLICT`, as for
 * `scheduler.priority`.
 */
export function parseScheduler(options: SchedulerOptions): Scheduler {
  onlyKeys('scheduler', options, [
    'policy',
    'priority',
    'nice',
    'flags',
    'runtime',
    'deadline',
    'period',
  ])
  const { policy, priority, nice, flags: wanted = [] } = options
  keyOption('scheduler.policy', policy, policies)
  const realTime = policy === 'fifo' || policy === 'rr'
  if (!realTime && priority !== undefined && priority !== 0)
    throw conflict('scheduler.priority', `is of 'fifo' and 'rr', and this is '${policy}'`)
  if (nice !== undefined && !keepsNice(policy))
    throw conflict('scheduler.nice', `means nothing to the policy '${policy}'`)
  if (!Array.isArray(wanted)) throw invalidOption('scheduler.flags', 'must be a list')
  for (const flag of wanted) {
    keyOption('scheduler.flags', flag, schedulerFlags)
    if (flag !== 'reset-on-fork' && policy !== 'deadline')
      throw conflict('scheduler.flags', `${flag} is of the policy 'deadline'`)
  }
  return {
    policy,
    priority: realTime ? integerOption('scheduler.priority', priority, 1, 99) : 0,
    nice: nice === undefined ? undefined : parseNice('scheduler.nice', nice),
    flags: [...wanted],
    ...parseTimes(options),
  }
}

/** Whether the nice value counts with it. */
export function keepsNice(policy: SchedulingPolicy): boolean {
  return policy === 'other' || policy === 'batch' || policy === 'ext'
}

/**
 * Changes how the kernel schedules this process. sched_setattr(2), or
 * sched_setscheduler(2) where the nice value is to stay as it is; sched(7).
 * `EPERM` for a real-time policy without CAP_SYS_NICE in the first user
 * namespace and beyond RLIMIT_RTPRIO, for `'deadline'` besides when its
 * affinity is not all processors; `EBUSY` when deadlines can't be kept;
 * `EINVAL` for a policy that the kernel does not have. Equivalent to: `chrt`
 */
export function schedulerStep(scheduler: Scheduler): InitStep {
  const { policy, priority, nice = 0, runtime, deadline, period } = scheduler
  if (scheduler.nice === undefined && policy !== 'deadline') return plainStep(scheduler)
  const set = flags(...scheduler.flags.map(flag => schedulerFlags[flag]))
  const bytes = Buffer.alloc(48) // SCHED_ATTR_SIZE_VER0
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt32LE(Number(policies[policy].value), 4)
  bytes.writeBigUInt64LE(BigInt(set.value), 8)
  bytes.writeInt32LE(nice, 16)
  bytes.writeUInt32LE(priority, 20)
  bytes.writeBigUInt64LE(runtime, 24)
  bytes.writeBigUInt64LE(deadline, 32)
  bytes.writeBigUInt64LE(period, 40)
  const parameters = policy === 'deadline' ? `${runtime}, ${deadline}, ${period}` : `nice ${nice}`
  const text = `{${policies[policy].text}, ${set.text}, ${parameters}}`
  return step('scheduler', call('sched_setattr', [0, { bytes, text }, 0]))
}

const SCHED_RESET_ON_FORK = named('SCHED_RESET_ON_FORK', 0x40000000)

function plainStep({ policy, priority, flags: asked }: Scheduler): InitStep {
  const bytes = Buffer.alloc(4) // struct sched_param
  bytes.writeInt32LE(priority, 0)
  const how = flags(policies[policy], ...asked.map(() => SCHED_RESET_ON_FORK))
  return step('scheduler', call('sched_setscheduler', [0, how, { bytes, text: `{${priority}}` }]))
}

const PRIO_PROCESS = named('PRIO_PROCESS', 0)

/**
 * setpriority(2); `EACCES` for a lower value without CAP_SYS_NICE in the first
 * user namespace and beyond RLIMIT_NICE. Equivalent to: `nice -n N`
 */
export function niceStep(nice: number): InitStep {
  return step('nice', call('setpriority', [PRIO_PROCESS, 0, named(`${nice}`, nice >>> 0)]))
}

/**
 * The policy that any program expects; with `asked` false the one that was asked
 * for before stays. sched_setscheduler(2)
 */
export function ordinaryPolicy(asked: boolean): Operation[] {
  return asked ? [] : [ordinaryScheduling()]
}

// proc_pid_stat(5): what the numbers of its last but few fields mean.
const policyNames = new Map<number, SchedulingPolicy>(
  Object.entries(policies).map(([name, { value }]) => [Number(value), name as SchedulingPolicy]),
)

/** How the kernel schedules a process. */
export interface Scheduling {
  /** Its number, for a policy that is not known here. */
  policy: SchedulingPolicy | number
  /** 1 to 99 of the real-time policies, otherwise 0. */
  priority: number
  nice: number
}

/** From the text of proc_pid_stat(5); undefined when that is no such text. */
export function parseSchedulingText(stat: string): Scheduling | undefined {
  // The name, in brackets, may have any character in it. Fields count from 3 here.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => {
    const text = fields[number - 3] ?? ''
    return /^-?\d{1,10}$/.test(text) ? Number(text) : undefined
  }
  const [nice, priority, policy] = [field(19), field(40), field(41)]
  if (nice === undefined || priority === undefined || policy === undefined) return undefined
  return { policy: policyNames.get(policy) ?? policy, priority, nice }
}
