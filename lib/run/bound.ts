import { constants } from 'node:os'
import { call, type InitStep, named, type Operation, step } from '../plan/index.js'
import { signalName } from './signals.js'

// What binds a process to the program that makes it, and keeps others away from it.

const PR_SET_PDEATHSIG = named('PR_SET_PDEATHSIG', 1)
const PR_SET_DUMPABLE = named('PR_SET_DUMPABLE', 4)

/**
 * The kernel kills the process when the host's spawner thread ends, and so
 * when the host process does, however it does; or sends it another signal, 0 for
 * none. prctl(2) PR_SET_PDEATHSIG
 */
export function dieWithHost(signal: number = constants.signals.SIGKILL): Operation {
  const sent = signal === 0 ? 0 : named(signalName(signal), signal)
  return call('prctl', [PR_SET_PDEATHSIG, sent, 0, 0, 0])
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
