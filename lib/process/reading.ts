import { CofferdamError, parseList, readPseudoFile, show } from '../base/index.js'
import { parseLimitsText, type Resource, type ToldLimit } from './rlimits.js'
import { parseSchedulingText, type Scheduling } from './scheduling.js'

// What the attributes of any process are. The files belong to the process's
// user, so that of other users' processes less can be seen. proc(5)

function read(pid: number | 'self', file: string): string {
  if (pid !== 'self' && !(Number.isInteger(pid) && pid > 0))
    throw new CofferdamError(`${show(pid)} is no pid`, {
      code: 'ERR_INVALID_OPTION',
      option: 'pid',
    })
  const path = `/proc/${pid}/${file}`
  const text = readPseudoFile(path)
  if (text !== undefined) return text
  throw new CofferdamError(`${path} can't be read`, {
    code: readPseudoFile(`/proc/${pid}/stat`) === undefined ? 'ESRCH' : 'EACCES',
    path,
  })
}

function told<T>(pid: number | 'self', file: string, value: T | undefined): T {
  if (value !== undefined) return value
  const path = `/proc/${pid}/${file}`
  throw new CofferdamError(`${path} does not tell`, { code: 'ERR_UNSUPPORTED', path })
}

/**
 * Its limits, in the units of {@link Limits}. proc_pid_limits(5). Equivalent to:
 * `prlimit --pid PID`
 *
 * @throws CofferdamError `ESRCH` when there is no such process, as its siblings.
 */
export function limitsOf(
  pid: number | 'self',
): Partial<Record<Resource, { soft: ToldLimit; hard: ToldLimit }>> {
  return parseLimitsText(read(pid, 'limits'))
}

/** Its scheduling policy and nice value. proc_pid_stat(5). Equivalent to: `chrt --pid PID` */
export function schedulingOf(pid: number | 'self'): Scheduling {
  return told(pid, 'stat', parseSchedulingText(read(pid, 'stat')))
}

/**
 * The processors that it may run on, in ascending order. `Cpus_allowed_list` of
 * proc_pid_status(5). Equivalent to: `taskset --cpu-list --pid PID`
 */
export function affinityOf(pid: number | 'self'): number[] {
  const list = /^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(read(pid, 'status'))?.[1]
  return parseList('Cpus_allowed_list', told(pid, 'status', list))
}

/** -1000 to 1000. proc_pid_oom_score_adj(5). Equivalent to: `choom --pid PID` */
export function oomScoreAdjustOf(pid: number | 'self'): number {
  const text = /^-?\d{1,4}$/.exec(read(pid, 'oom_score_adj').trim())?.[0]
  return Number(told(pid, 'oom_score_adj', text))
}
