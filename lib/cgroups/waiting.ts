import { closeSync } from 'node:fs'
import {
  CofferdamError,
  type Duration,
  isAlive,
  native,
  nativeError,
  type ProcessIdentity,
  parseDuration,
  signalOption,
} from '../base/index.js'
import { listen, unlisten } from '../run/index.js'
import { openFile, readNow } from './open-file.js'

/** How long something may take. */
export interface WaitOptions {
  /** After this time it is given up, and fails with `ETIMEDOUT`. */
  timeout?: Duration
  /** Gives up. */
  signal?: AbortSignal
}

/** When to give up, for several waits in a row. */
export interface Deadline {
  /** As performance.now() has it; Infinity for never. */
  at: number
  signal: AbortSignal | undefined
}

export function deadlineOf(option: string, options: WaitOptions, otherwise?: Duration): Deadline {
  const { timeout = otherwise } = options
  const time =
    timeout === undefined ? Number.POSITIVE_INFINITY : parseDuration(`${option}.timeout`, timeout)
  return { at: performance.now() + time, signal: signalOption(`${option}.signal`, options.signal) }
}

/** It took too long. */
export class TimeOut extends Error {}

/**
 * Waits until a file of the kernel's that tells of its changes says what is wanted, and gives
 * what it says then; undefined when the file has gone, with its group. poll(2) with POLLPRI
 */
export async function waitForFile(
  path: string,
  holds: (text: string) => boolean,
  deadline: Deadline,
): Promise<string | undefined> {
  const opened = openFile(path)
  if (opened === undefined) return undefined
  let fd: number
  let watch: number
  try {
    ;[watch, fd] = native().watch(opened)
  } catch (error) {
    throw nativeError(path, error)
  } finally {
    closeSync(opened)
  }
  return await untilEvent(watch, deadline, () => {
    const text = readNow(fd)
    if (text === undefined) return { value: undefined }
    return holds(text) ? { value: text } : undefined
  })
}

/** Waits until a process has ended, by its pidfd, which stays the caller's. pidfd_open(2) */
export async function waitForProcess(
  pidfd: number,
  process: ProcessIdentity,
  deadline: Deadline,
): Promise<void> {
  const [watch] = native().watch(pidfd)
  const look = () => (isAlive(process) ? undefined : { value: undefined })
  if (look() === undefined) await untilEvent(watch, deadline, look)
  else native().unwatch(watch)
}

/** So often it is looked whether a file is still there, in milliseconds: of that the kernel tells nobody. */
const LOOK_AGAIN = 500

function untilEvent<T>(
  watch: number,
  { at, signal }: Deadline,
  look: () => { value: T } | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const end = (settle: () => void) => {
      clearTimeout(timer)
      clearInterval(looks)
      signal?.removeEventListener('abort', abort)
      unlisten(watch)
      native().unwatch(watch)
      settle()
    }
    const abort = () => end(() => reject(signal?.reason as Error))
    const listener = () => {
      try {
        const found = look()
        if (found !== undefined) end(() => resolve(found.value))
      } catch (error) {
        end(() => reject(error as Error))
      }
    }
    listen(watch, listener)
    native().hold(watch, true)
    const looks = setInterval(listener, LOOK_AGAIN)
    if (signal?.aborted) return abort()
    signal?.addEventListener('abort', abort)
    if (Number.isFinite(at))
      timer = setTimeout(
        () => end(() => reject(new TimeOut())),
        Math.max(at - performance.now(), 0),
      )
  })
}

/** First and last pause between looks where the kernel tells nothing, in milliseconds. */
const [SHORTEST, LONGEST] = [1, 100]

/**
 * Looks again and again where there is no event to wait for, with pauses that double from 1 to
 * 100 ms, until there is an answer.
 */
export async function lookUntil<T>(
  look: (round: number) => Promise<T | undefined>,
  { at, signal }: Deadline,
): Promise<T> {
  for (let round = 0, pause = SHORTEST; ; round++, pause = Math.min(pause * 2, LONGEST)) {
    signal?.throwIfAborted()
    const found = await look(round)
    if (found !== undefined) return found
    if (performance.now() >= at) throw new TimeOut()
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

/** The typed error for a {@link TimeOut}; others as they are. */
export function timeOutError(what: string, path: string, error: unknown, hint?: string): unknown {
  if (!(error instanceof TimeOut)) return error
  return new CofferdamError(`${path}: ${what}`, {
    code: 'ETIMEDOUT',
    path,
    controller: 'cgroup',
    hint,
  })
}
