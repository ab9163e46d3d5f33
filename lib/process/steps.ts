import { constants } from 'node:os'
import {
  call,
  child,
  exec,
  type InitStep,
  mode,
  named,
  type Operation,
  pass,
  type Slot,
  type Struct,
  step,
} from '../plan/index.js'
import type { ProcessSpecification } from './specification.js'

const PR_SET_PDEATHSIG = named('PR_SET_PDEATHSIG', 1)
const PR_SET_DUMPABLE = named('PR_SET_DUMPABLE', 4)
const PR_SET_NO_NEW_PRIVS = named('PR_SET_NO_NEW_PRIVS', 38)
const SIGKILL = named('SIGKILL', constants.signals.SIGKILL)

/**
 * The kernel kills the process when the host's spawner thread ends, and so
 * when the host process does, however it does. prctl(2) PR_SET_PDEATHSIG
 */
function dieWithHost(): Operation {
  return call('prctl', [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0])
}

/**
 * Whether processes of the same user may look into this one and trace it, and
 * whether its files in proc belong to that user; with `false` they belong to
 * root. prctl(2) PR_SET_DUMPABLE, proc(5)
 */
export function dumpable(is: boolean): Operation {
  return call('prctl', [PR_SET_DUMPABLE, is ? 1 : 0, 0, 0, 0])
}

/**
 * What init does first of all: dies with the host; can't be traced or looked
 * into, by a container that it joins say (CVE-2016-9962). With `dies` false it
 * does not die with the host.
 */
export function detachStep(dies = true): InitStep {
  return step(
    'detach from the host',
    ...(dies ? [dieWithHost()] : []),
    dumpable(false),
    call('umask', [0]),
  )
}

const KEYCTL_JOIN_SESSION_KEYRING = named('KEYCTL_JOIN_SESSION_KEYRING', 1)

/**
 * Leaves the host's session, and with it the terminal that a program could have
 * typed into (CVE-2017-5226); and the host's session keyring, whose keys it
 * could have read. setsid(2), session-keyring(7)
 */
export function sessionStep(): InitStep {
  return step(
    'session',
    call('setsid', []),
    // An outer container's filter may forbid it, and with it any use of keys.
    call('keyctl', [KEYCTL_JOIN_SESSION_KEYRING, 0], { tolerate: ['ENOSYS', 'EPERM'] }),
  )
}

/**
 * No signal is ignored or blocked, as any program expects. CLONE_CLEAR_SIGHAND
 * has reset the handlers; `ignored` are those that the host ignores.
 * rt_sigaction(2), rt_sigprocmask(2), signal(7)
 */
export function signalsStep(ignored: readonly number[]): InitStep {
  return step(
    'signals',
    ...ignored.map(number =>
      call('rt_sigaction', [
        number,
        zeros(32, '{SIG_DFL}'),
        0,
        8, // sizeof(sigset_t) in the kernel
      ]),
    ),
    call('rt_sigprocmask', [named('SIG_SETMASK', 2), zeros(8, '[]'), 0, 8]),
  )
}

/**
 * {@link detachStep}'s first part once more, where it has been lost; with
 * `openToHost` as in {@link openToHostStep}. With `dies` false only the latter.
 */
export function dieWithHostStep(openToHost = false, dies = true): InitStep {
  return step('die with the host', ...(dies ? [dieWithHost()] : []), dumpable(openToHost))
}

/**
 * An ordinary user's host joins the namespaces of an init, which for it takes
 * leave to look into init: setns(2) with a pidfd, ptrace(2). Nobody else is in
 * the container's namespaces at that time.
 */
export function openToHostStep(): InitStep {
  return step('open to the host', dumpable(true))
}

/** Connects standard input, output and error. dup3(2) */
export function streamsStep(streams: readonly [Slot, Slot, Slot]): InitStep {
  return step('streams', ...streams.map((stream, fd) => call('dup3', [stream, fd, 0])))
}

/**
 * Gives pipes to the user who is to use them, so that `/dev/stdout` can be
 * opened. fchown(2). In a user namespace they are not init's to give when they
 * belong to somebody whom that does not have.
 */
export function streamOwnerStep(fds: readonly number[], uid: number, gid: number): InitStep {
  return step(
    'stream owner',
    ...fds.map(fd => call('fchown', [fd, uid, gid], { tolerate: ['EPERM'] })),
  )
}

/**
 * Changes to the user and the groups. setgroups(2), setresgid(2), setresuid(2).
 * With `groupsKept` it is well if the groups can't be changed: an ordinary user
 * may not drop its own (user_namespaces(7), `/proc/PID/setgroups`).
 */
export function userStep(
  process: ProcessSpecification,
  keepCapabilities: Operation,
  groupsKept = false,
): InitStep {
  const { groups, name } = process
  const lookedUp = (what: string) => named(`<${what} of ${name}>`, 0)
  const uid = name === undefined ? process.uid : lookedUp('uid')
  const gid = name === undefined ? process.gid : lookedUp('gid')
  const bytes = Buffer.alloc(4 * groups.length)
  groups.forEach((group, i) => {
    bytes.writeUInt32LE(group, 4 * i)
  })
  return step(
    'user',
    ...(uid === 0 ? [] : [keepCapabilities]),
    call(
      'setgroups',
      [groups.length, { bytes, text: `[${groups.join(', ')}]` }],
      groupsKept ? { tolerate: ['EPERM'] } : {},
    ),
    call('setresgid', [gid, gid, gid]),
    call('setresuid', [uid, uid, uid]),
  )
}

/**
 * No execve gives more privileges than there are: set-user-ID programs and
 * file capabilities have no effect. prctl(2) PR_SET_NO_NEW_PRIVS
 */
export function noNewPrivilegesStep(): InitStep {
  return step('no new privileges', call('prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]))
}

/**
 * What is left before execve: the parent-death signal again, which the kernel
 * cleared with the change of user; umask, directory and scheduling policy as any
 * program expects them. Up to here init is a batch process, as
 * the spawner is, so that it does not preempt the JavaScript that wakes it.
 */
export function readyStep(process: ProcessSpecification, dies = true): InitStep {
  return step(
    'ready',
    ...(dies ? [dieWithHost()] : []),
    call('umask', [mode(process.umask)]),
    ...(process.cwd === '/' ? [] : [call('chdir', [process.cwd])]),
    call('sched_setscheduler', [0, named('SCHED_OTHER', 0), zeros(4, '{0}')]),
  )
}

/** Descriptors besides the standard streams stay open for the program. dup3(2) */
export function passStep(count: number): InitStep {
  return step('further descriptors', pass(count))
}

/**
 * An init stays, and goes on in a child; see `init` of ProcessOptions. With
 * `openToHost` as {@link openToHostStep}.
 */
export function initStep(openToHost = false): InitStep {
  return step('init', ...(openToHost ? [dumpable(true)] : []), child(), dieWithHost())
}

/**
 * Runs the program. execve(2): `ENOENT` when it is nowhere in `PATH`, `EACCES`
 * when it may not be executed, `ENOEXEC` when the kernel does not know what it
 * is.
 */
export function execStep(process: ProcessSpecification): InitStep {
  return step('exec', exec(process.paths, process.argv, process.env))
}

function zeros(size: number, text: string): Struct {
  return { bytes: Buffer.alloc(size), text }
}
