import { invalidOption, show } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  type NamespaceKind,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_WRONLY,
  OPEN_HOW_SIZE,
  openHow,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  type Slot,
  slot,
  step,
} from '../plan/index.js'

/** A kernel parameter below `/proc/sys`, as `kernel/shmmax`, with the value to write. */
export interface Sysctl {
  path: string
  value: string
  /** The kind of namespace that has its own. */
  namespace: NamespaceKind
  /** What the option that names it is called in errors. */
  option: string
}

// ipc_namespaces(7)
const ofIpc = new Set(
  ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map(
    name => `kernel/${name}`,
  ),
)

const LONGEST = 4094 // in bytes: proc takes no more than a page

/**
 * `kernel/shmmax` for `kernel.shmmax`, and for itself. As sysctl(8) reads them:
 * where dots come first they divide, and a slash stands for a dot of a name, as
 * in `net.ipv4.conf.eth0/1.forwarding`; otherwise slashes divide.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `option`.
 */
export function sysctlPath(option: string, name: string): string {
  const first = /[./]/.exec(name)?.[0]
  const swap = (text: string) => text.replace(/[./]/g, found => (found === '.' ? '/' : '.'))
  const path = first === '.' ? swap(name) : name
  const parts = path.split('/')
  const wrong = parts.some(part => part === '' || part === '.' || part === '..')
  if (wrong || parts.length < 2 || /[\x00-\x20]/.test(path))
    throw invalidOption(option, `${show(name)} is no name of a kernel parameter`)
  return path
}

/** The kind of namespace of which each has its own value; undefined for the machine's. */
export function sysctlNamespace(path: string): NamespaceKind | undefined {
  if (path.startsWith('net/')) return 'network'
  if (ofIpc.has(path) || path.startsWith('fs/mqueue/')) return 'ipc'
  if (path === 'kernel/domainname' || path === 'kernel/hostname') return 'uts'
  if (path.startsWith('user/')) return 'user'
  return undefined
}

/**
 * Kernel parameters by name, with their values.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`, as for `sysctls.vm.swappiness`:
 * what is no name, named twice, or of the whole machine; a value that is none.
 */
export function parseSysctls(
  option: string,
  sysctls: Readonly<Record<string, string | number>>,
): Sysctl[] {
  if (Object.prototype.toString.call(sysctls) !== '[object Object]')
    throw invalidOption(option, 'must be an object, { name: value }')
  const all: Sysctl[] = []
  for (const [name, given] of Object.entries(sysctls)) {
    const own = `${option}.${name}`
    const path = sysctlPath(own, name)
    const namespace = sysctlNamespace(path)
    if (namespace === undefined)
      throw invalidOption(own, 'is of the whole machine, and of no namespace')
    if (path === 'kernel/hostname') throw invalidOption(own, 'is what hostname() sets')
    if (all.some(other => other.path === path))
      throw invalidOption(own, 'has been named before in another spelling')
    const value = Number.isSafeInteger(given) ? `${given}` : given
    // Of more lines than one the kernel would take the first, and say nothing.
    if (typeof value !== 'string' || /[\0\n]/.test(value) || Buffer.byteLength(value) > LONGEST)
      throw invalidOption(own, `${show(given)} is no value; a line of text and whole numbers are`)
    all.push({ path, value, namespace, option: own })
  }
  return all
}

/**
 * Opens the directory of the kernel parameters in a proc that is known to be one,
 * for {@link sysctlStep}. What is mounted over it does not count; over the proc of
 * an outer container there may be something, `EXDEV`. openat2(2)
 */
export function openSysctls(proc: Slot, sys: Slot): InitStep {
  const how = openHow(
    [O_PATH, O_DIRECTORY, O_CLOEXEC],
    [RESOLVE_BENEATH, RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS],
  )
  return step(
    'kernel parameters',
    call('openat2', [proc, 'sys', how, OPEN_HOW_SIZE], { result: sys, about: '/proc/sys' }),
  )
}

/** The same with the host's proc, while that is what is in sight. */
export function openHostSysctls(sys: Slot): InitStep {
  const how = flags(O_PATH, O_DIRECTORY, O_CLOEXEC)
  return step('kernel parameters', call('openat', [AT_FDCWD, '/proc/sys', how], { result: sys }))
}

/**
 * Sets a kernel parameter of init's namespace. proc_sys(5); `ENOENT` when there is
 * none of that name in it, `EINVAL` for a value that it does not take. Equivalent
 * to: `sysctl --write NAME=VALUE`
 */
export function sysctlStep(sys: Slot, { path, value }: Sysctl): InitStep {
  const file = slot('parameter')
  const how = openHow(
    [O_WRONLY, O_CLOEXEC],
    [RESOLVE_BENEATH, RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS],
  )
  const about = `/proc/sys/${path}`
  const line = `${value}\n` // an empty value is one too
  return step(
    `sysctl ${path.replace(/[./]/g, found => (found === '.' ? '/' : '.'))}`,
    call('openat2', [sys, path, how, OPEN_HOW_SIZE], { result: file, about }),
    call('write', [file, line, Buffer.byteLength(line)], { about }),
  )
}
