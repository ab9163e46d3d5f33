import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  named,
  O_CLOEXEC,
  O_NOCTTY,
  O_RDWR,
  OPEN_HOW_SIZE,
  openHow,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { master, type TerminalSize, terminalHandover } from '../run/index.js'

const TIOCSPTLCK = named('TIOCSPTLCK', 0x40045431)
const TIOCGPTPEER = named('TIOCGPTPEER', 0x5441)
const TIOCSWINSZ = named('TIOCSWINSZ', 0x5414)
const TIOCSCTTY = named('TIOCSCTTY', 0x540e)
const KEEP = named('-1', 0xffffffff)

const terminal = slot('terminal')

/**
 * A new pseudo-terminal of the container's own devpts as standard input, output
 * and error, and as the controlling terminal. pty(7), ioctl_tty(2)
 *
 * A program in the container may have put anything in the place of
 * `/dev/pts/ptmx`: no symbolic link is followed, and what is no pseudo-terminal
 * fails with `ENOTTY`. The other end is opened through it and not by a path.
 */
export function terminalSteps({ rows, columns }: TerminalSize, uid: number): Step[] {
  const how = [O_RDWR, O_NOCTTY, O_CLOEXEC]
  const strictly = openHow(how, [RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS])
  const size = Buffer.alloc(8) // struct winsize
  size.writeUInt16LE(rows, 0)
  size.writeUInt16LE(columns, 2)
  const open = step(
    'terminal',
    call('openat2', [AT_FDCWD, '/dev/pts/ptmx', strictly, OPEN_HOW_SIZE], { result: master }),
    call('ioctl', [master, TIOCSPTLCK, { bytes: Buffer.alloc(4), text: '[0]' }]),
    call('ioctl', [master, TIOCGPTPEER, flags(...how)], { result: terminal }),
    call('ioctl', [terminal, TIOCSWINSZ, { bytes: size, text: `{${rows}, ${columns}}` }]),
    ...(uid === 0 ? [] : [call('fchown', [terminal, uid, KEEP])]),
  )
  const connect: InitStep = step(
    'controlling terminal',
    ...[0, 1, 2].map(fd => call('dup3', [terminal, fd, 0])),
    call('ioctl', [terminal, TIOCSCTTY, 0]),
  )
  return [open, terminalHandover, connect]
}
