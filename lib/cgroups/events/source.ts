import { closeSync } from 'node:fs'
import { openFile } from '../open-file.js'
import type { GroupEvent } from './types.js'

/** One thing about a group that there are events of. */
export interface EventSource {
  /** What is new since the last look; undefined when its file has gone, with the group. */
  look(): readonly GroupEvent[] | undefined
  /** The kernel does not tell of it now: it has to be looked at again and again. */
  readonly polled: boolean
  /** What must have happened since the last look if the group has been removed. */
  atEnd?(): readonly GroupEvent[]
  close?(): void
}

/** Who watches files for {@link EventSource}s, and asks them then. */
export interface Watcher {
  /**
   * Of each change of a file the sources are told, and `told` before; soon also once
   * without one.
   *
   * @param fd Stays the caller's.
   * @returns The watch, and a descriptor to read by as long as there is the watch.
   */
  watch(fd: number, told?: () => void): [watch: number, fd: number]
  unwatch(watch: number): void
}

/** Watches a file of a group; gives what to read it by. */
export function watchFile(watcher: Watcher, path: string): number | undefined {
  const opened = openFile(path)
  if (opened === undefined) return undefined
  try {
    return watcher.watch(opened)[1]
  } finally {
    closeSync(opened)
  }
}

/** Numbers of a file of lines `KEY NUMBER`. Lines that are none are skipped. */
export function counts(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const [, key, value] of text.matchAll(/^(\S+) (\d+)$/gm))
    if (Number.isSafeInteger(Number(value))) found.set(key as string, Number(value))
  return found
}
