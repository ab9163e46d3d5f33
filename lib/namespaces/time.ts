import { invalidOption, onlyKeys, show } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  kinds,
  O_CLOEXEC,
  O_WRONLY,
  type Operation,
  type Slot,
  slot,
  step,
} from '../plan/index.js'
import type { Opening } from './user.js'

/**
 * By how much a clock is ahead inside, or behind if it is negative: milliseconds, text
 * such as `'1d'`, `'-2h'`, `'1.5s'` (d, h, m, s, ms), or both parts by themselves.
 * At most 9223372036 seconds, some 292 years.
 */
export type TimeOffset = number | string | { seconds: number; nanoseconds?: number }

/**
 * What the clocks of a time namespace show besides the time of the machine: the
 * initial namespace, and not the one that this program may be in. A clock that is
 * left out shows what it does here. time_namespaces(7)
 */
export interface TimeOffsets {
  /** CLOCK_MONOTONIC and its kin. */
  monotonic?: TimeOffset
  /** CLOCK_BOOTTIME, and with it `/proc/uptime`. */
  boottime?: TimeOffset
}

/** {@link TimeOffsets} as the kernel has them. */
export interface CheckedTimeOffsets {
  monotonic?: ClockOffset
  boottime?: ClockOffset
}

/** A struct timespec64: nanoseconds, 0 to 999999999, come on top of the seconds. */
export interface ClockOffset {
  seconds: number
  nanoseconds: number
}

const clocks = ['monotonic', 'boottime'] as const
const units: Record<string, number> = { '': 1, ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 }
const MOST = 9_223_372_036 // KTIME_SEC_MAX

/** @throws CofferdamError `ERR_INVALID_OPTION`, naming `option`, for what can be no offset. */
export function checkTimeOffsets(option: string, offsets: TimeOffsets): CheckedTimeOffsets {
  onlyKeys(option, offsets, clocks)
  const checked: CheckedTimeOffsets = {}
  for (const clock of clocks) {
    const offset = offsets[clock]
    if (offset !== undefined) checked[clock] = checkOffset(`${option}.${clock}`, offset)
  }
  return checked
}

function checkOffset(option: string, offset: TimeOffset): ClockOffset {
  const { seconds, nanoseconds = 0 } =
    typeof offset === 'object' ? parts(option, offset) : split(option, offset)
  if (!Number.isInteger(seconds) || Math.abs(seconds) > MOST)
    throw invalidOption(option, `${show(seconds)} seconds; whole ones from -${MOST} to ${MOST} are`)
  if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds > 999_999_999)
    throw invalidOption(option, `${show(nanoseconds)} nanoseconds; 0 to 999999999 are`)
  return { seconds: seconds + 0, nanoseconds } // no -0
}

function parts(option: string, offset: { seconds: number; nanoseconds?: number }) {
  onlyKeys(option, offset, ['seconds', 'nanoseconds'])
  return offset
}

/** Of -0.5 seconds: -1 and half a second on top, as the kernel wants it. */
function split(option: string, offset: number | string): ClockOffset {
  const match =
    typeof offset === 'string' ? /^([+-]?)(\d+(?:\.\d+)?) ?([a-z]*)$/.exec(offset) : null
  const unit = match === null ? undefined : units[match[3] ?? '']
  const time =
    match === null || unit === undefined ? offset : Number(`${match[1]}${match[2]}`) * unit
  if (typeof time !== 'number' || !Number.isFinite(time))
    throw invalidOption(option, `${show(offset)} is no offset; milliseconds or '-1.5h' are`)
  const seconds = Math.floor(time / 1000)
  const nanoseconds = Math.round((time - seconds * 1000) * 1e6)
  return nanoseconds === 1e9 ? { seconds: seconds + 1, nanoseconds: 0 } : { seconds, nanoseconds }
}

/**
 * Opens what the offsets are written to. The file is the process's and not the
 * namespace's, so that it can be opened before there is one, and in the mount
 * namespace whose proc is to be trusted.
 */
export function openTimeOffsets(result: Slot): Operation {
  return call('openat', [AT_FDCWD, '/proc/self/timens_offsets', flags(O_WRONLY, O_CLOEXEC)], {
    result,
  })
}

/** Makes the namespace, and writes the offsets to what {@link openTimeOffsets} has opened. */
export function newTimeWith(file: Slot, offsets: CheckedTimeOffsets): Operation[] {
  const text = clocks
    .map(clock => [clock, offsets[clock]] as const)
    .flatMap(([clock, offset]) =>
      offset === undefined ? [] : `${clock} ${offset.seconds} ${offset.nanoseconds}\n`,
    )
    .join('')
  const bytes = Buffer.from(text)
  return [
    call('unshare', [kinds.time.flag]),
    ...(text === ''
      ? []
      : [call('write', [file, { bytes, text: JSON.stringify(text) }, bytes.length])]),
  ]
}

/**
 * A new time namespace with these offsets. Its first process is the next child: what
 * follows has to begin with `sibling()`, since execve(2) alone leads into it in newer
 * kernels only. unshare(2), time_namespaces(7); `EPERM` without CAP_SYS_ADMIN and
 * CAP_SYS_TIME in the user namespace, `ERANGE` when a clock would show less than
 * nothing. Equivalent to: `unshare --time --monotonic … --boottime …`
 *
 * @param opening How to make the process's own files in proc its own for a moment:
 * in a user namespace it needs that to write the offsets.
 */
export function newTime(offsets: CheckedTimeOffsets, opening?: Opening): InitStep {
  const file = slot('timens-offsets')
  const has = Object.keys(offsets).length > 0
  return step(
    'time namespace',
    ...(opening === undefined || !has ? [] : [opening.open]),
    ...(has ? [openTimeOffsets(file)] : []),
    ...newTimeWith(file, offsets),
    ...(opening === undefined || !has ? [] : [opening.close]),
  )
}
