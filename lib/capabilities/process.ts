import {
  CofferdamError,
  invalidOption,
  native,
  onlyKeys,
  readPseudoFile,
  show,
} from '../base/index.js'
import { type CapabilityName, fromBits } from './names.js'
import { type Securebit, securebitsFromBits } from './securebits.js'

/** The ids of a thread, of users or of groups; credentials(7). */
export interface ProcessIds {
  real: number
  effective: number
  saved: number
  filesystem: number
}

/** What a thread may do, and what it keeps when it executes a program; capabilities(7). */
export interface ProcessCapabilities {
  /** What it can make effective, and hand out. */
  permitted: CapabilityName[]
  /** What the kernel looks at. */
  effective: CapabilityName[]
  /** What a file with inheritable capabilities of its own gives it. */
  inheritable: CapabilityName[]
  /** What it keeps when it executes a program without any privileges. Empty before Linux 4.3. */
  ambient: CapabilityName[]
  /** What a file can give it at most. */
  bounding: CapabilityName[]
  /**
   * Undefined for any thread but the caller's own: the kernel tells nobody else.
   */
  securebits: Securebit[] | undefined
  /** No execve gives it more; prctl(2) PR_SET_NO_NEW_PRIVS. False before Linux 4.10. */
  noNewPrivileges: boolean
  uid: ProcessIds
  gid: ProcessIds
  /** Further groups. */
  groups: number[]
}

/** Options of {@link processCapabilities}. */
export interface ProcessCapabilitiesOptions {
  /** One of its threads; default: the first. Each has sets of its own. gettid(2) */
  thread?: number
}

/**
 * The capabilities of a process, or of the thread that calls with `'self'`, the
 * default. proc_pid_status(5). Equivalent to: `getpcaps PID`, `capsh --print`
 *
 * Ids are as this program's user namespace has them.
 *
 * @throws CofferdamError `ESRCH` when there is none, or proc does not show it;
 * `EBADMSG` when proc says what can't be.
 */
export function processCapabilities(
  pid: number | 'self' = 'self',
  options: ProcessCapabilitiesOptions = {},
): ProcessCapabilities {
  onlyKeys('processCapabilities', options, ['thread'])
  const { thread } = options
  if (pid !== 'self') checkPid('pid', pid)
  if (thread !== undefined) checkPid('processCapabilities.thread', thread)
  const self = pid === 'self' && thread === undefined
  const folder = thread === undefined ? `${pid}` : `${pid}/task/${thread}`
  const text = readPseudoFile(self ? '/proc/thread-self/status' : `/proc/${folder}/status`)
  if (text === undefined) {
    const what = thread === undefined ? `process ${pid}` : `thread ${thread} of process ${pid}`
    throw new CofferdamError(`/proc shows no ${what}`, { code: 'ESRCH' })
  }
  const state = parseStatus(text)
  if (self) state.securebits = securebitsFromBits(native().securebits())
  return state
}

function checkPid(option: string, pid: unknown): void {
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid < 1 || pid >= 2 ** 31)
    throw invalidOption(option, `${show(pid)} is no number of a process`)
}

/**
 * Reads the text of `/proc/PID/status`. Lines that are not about privileges are
 * skipped, known or not. proc_pid_status(5)
 *
 * @throws CofferdamError `EBADMSG` when a line is missing, or is not as it should be.
 */
export function parseStatus(text: string): ProcessCapabilities {
  if (typeof text !== 'string') throw invalidOption('text', `${show(text)} is no text`)
  const lines = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) lines.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const set = (name: string, otherwise?: string): CapabilityName[] => {
    const value = lines.get(name) ?? otherwise
    if (value === undefined || !/^[0-9a-f]{1,16}$/i.test(value)) throw unreadable(name, value)
    return fromBits(BigInt(`0x${value}`))
  }
  return {
    permitted: set('CapPrm'),
    effective: set('CapEff'),
    inheritable: set('CapInh'),
    ambient: set('CapAmb', '0'),
    bounding: set('CapBnd'),
    securebits: undefined,
    noNewPrivileges: flag('NoNewPrivs', lines.get('NoNewPrivs') ?? '0'),
    uid: ids('Uid', lines.get('Uid')),
    gid: ids('Gid', lines.get('Gid')),
    groups: numbers('Groups', lines.get('Groups')),
  }
}

function unreadable(name: string, value: string | undefined): CofferdamError {
  const problem = value === undefined ? 'is missing' : `can't be ${JSON.stringify(value)}`
  return new CofferdamError(`${name} of a process's status ${problem}`, { code: 'EBADMSG' })
}

function flag(name: string, value: string): boolean {
  if (value !== '0' && value !== '1') throw unreadable(name, value)
  return value === '1'
}

function numbers(name: string, value: string | undefined): number[] {
  const found = value?.split(/\s+/).filter(Boolean).map(Number)
  if (found === undefined || found.some(id => !Number.isInteger(id) || id < 0 || id >= 2 ** 32))
    throw unreadable(name, value)
  return found
}

function ids(name: string, value: string | undefined): ProcessIds {
  const found = numbers(name, value)
  if (found.length !== 4) throw unreadable(name, value)
  const [real, effective, saved, filesystem] = found as [number, number, number, number]
  return { real, effective, saved, filesystem }
}
