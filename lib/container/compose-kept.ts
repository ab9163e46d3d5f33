import {
  call,
  flags,
  type InitStep,
  keep,
  kinds,
  named,
  type Placeholder,
  park,
  type Slot,
  type Struct,
  slot,
  step,
} from '../plan/index.js'
import { openFolder } from '../run/index.js'

// What is different where a container may outlive the program that makes it.

/** The container's state folder, which comes with the plan. */
export const stateFolder = slot('state-folder')

const AF_UNIX = named('AF_UNIX', 1)
const SOCK_SEQPACKET = named('SOCK_SEQPACKET', 5)
const SOCK_CLOEXEC = named('SOCK_CLOEXEC', 0o2000000)

/** How many may have come before they are seen to. */
const BACKLOG = 64

/** A socket in the state folder, by its name there. bind(2), unix(7) */
function socketAt(name: string, socket: Slot) {
  const family = Buffer.alloc(2)
  family.writeUInt16LE(Number(AF_UNIX.value))
  const address: Struct = {
    bytes: Buffer.concat([family, Buffer.from(`${name}\0`)]),
    text: `{AF_UNIX, "${name}"}`,
  }
  return [
    call('fchdir', [stateFolder]),
    call('socket', [AF_UNIX, flags(SOCK_SEQPACKET, SOCK_CLOEXEC), 0], { result: socket }),
    call('bind', [socket, address, address.bytes.length]),
  ]
}

/**
 * From here on a child goes on, in a new PID namespace if `pid` is true, and
 * this process stays as its keeper. clone3(2) `CLONE_INTO_CGROUP`, if `group` is the
 * folder of a v2 group: the child is in it, and the keeper is not.
 */
export function keeperStep(pid: boolean, group?: string | Placeholder): InitStep {
  const socket = slot('keeper-socket')
  const folder = slot('group')
  return step(
    'keeper',
    ...socketAt('keeper', socket),
    call('listen', [socket, BACKLOG]),
    ...(group === undefined ? [] : [openFolder(group, folder)]),
    keep(pid ? kinds.pid.flag : 0, socket, stateFolder, group === undefined ? undefined : folder),
  )
}

const startSocket = slot('start-socket')

/** Where whoever wants to start the container will find it. */
export const startSocketStep: InitStep = step(
  'start socket',
  ...socketAt('start', startSocket),
  call('chdir', ['/']),
)

/** Who can connect from now on knows that the container is whole. */
export const listenStep: InitStep = step('listen', call('listen', [startSocket, BACKLOG]))

/** Ends the setup half. */
export const parkListeningStep: InitStep = step('park', park(startSocket))
