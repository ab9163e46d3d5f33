import { call, child, type InitStep, mode, named, type Operation, step } from '../plan/index.js'
import { dieWithHost, dumpable } from '../run/index.js'
import { newKeyring } from './keyring.js'
import { ordinaryPolicy } from './scheduling.js'
import type { ProcessSpecification } from './specification.js'

const PR_SET_NO_NEW_PRIVS = named('PR_SET_NO_NEW_PRIVS', 38)

/**
 * Leaves the host's session, and with it the terminal that a program could have
 * typed into (CVE-2017-5226); and the host's session keyring, whose keys it
 * could have read, unless `keyring` is `'inherit'`. setsid(2), session-keyring(7)
 *
 * Nothing leads back to the host's session: whoever is in it can type into its
 * terminal with the ioctl TIOCSTI, where sysctl dev.tty.legacy_tiocsti allows
 * it. A terminal of its own is what `terminal` gives.
 */
export function sessionStep(keyring: 'new' | 'inherit' = 'new'): InitStep {
  return step('session', call('setsid', []), ...(keyring === 'new' ? [newKeyring()] : []))
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
  const { attributes, init } = process
  // With an init it is that one's child that gets another signal.
  const signal = init ? undefined : attributes?.parentDeathSignal
  return step(
    'ready',
    ...(dies || signal !== undefined ? [dieWithHost(signal)] : []),
    call('umask', [mode(process.umask)]),
    ...(process.cwd === '/' ? [] : [call('chdir', [process.cwd])]),
    ...ordinaryPolicy(attributes?.scheduler !== undefined),
  )
}

/**
 * An init stays, and goes on in a child, which gets `signal` when that ends; see
 * `init` of ProcessOptions. With `openToHost` as {@link openToHostStep}.
 */
export function initStep(openToHost = false, signal?: number): InitStep {
  return step('init', ...(openToHost ? [dumpable(true)] : []), child(), dieWithHost(signal))
}
