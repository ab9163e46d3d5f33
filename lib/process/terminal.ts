import { invalidOption, onlyKeys } from '../base/index.js'
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
  type WaitingStep,
} from '../plan/index.js'

/** Size of a terminal's window, each 1 to 65535. */
export interface TerminalSize {
  rows: number
  columns: number
}

/** What `terminal` takes: a size, or true for 24 rows of 80 columns. */
export type TerminalOption = boolean | Partial<TerminalSize>

const DEFAULT_SIZE: TerminalSize = { rows: 24, columns: 80 }

/** @throws CofferdamError `ERR_INVALID_OPTION` for a size that is none. */
export function checkTerminalSize(option: string, size: Partial<TerminalSize>): TerminalSize {
  onlyKeys(option, size, ['rows', 'columns'])
  const checked = { ...DEFAULT_SIZE, ...size }
  for (const name of ['rows', 'columns'] as const) {
    const value: unknown = checked[name]
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 0xffff)
      throw invalidOption(`${option}.${name}`, `${String(value)} is none; 1 to 65535 are`)
  }
  return checked
}

/** The size that was asked for; undefined when no terminal was. */
export function parseTerminal(terminal: TerminalOption | undefined): TerminalSize | undefined {
  if (terminal === undefined || terminal === false) return undefined
  return checkTerminalSize('terminal', terminal === true ? {} : terminal)
}

const TIOCSPTLCK = named('TIOCSPTLCK', 0x40045431)
const TIOCGPTPEER = named('TIOCGPTPEER', 0x5441)
const TIOCSWINSZ = named('TIOCSWINSZ', 0x5414)
const TIOCSCTTY = named('TIOCSCTTY', 0x540e)
const KEEP = named('-1', 0xffffffff)

const master = slot('master')
const terminal = slot('terminal')

/** Hands the terminal's other side to the host, while init waits. */
export const terminalHandover: WaitingStep = {
  side: 'waiting',
  name: 'hand over terminal',
  send: master,
  run: () => undefined,
}

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
