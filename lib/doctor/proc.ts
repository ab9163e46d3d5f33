import { readFileSync } from 'node:fs'

// Files of /proc and /sys. One that is missing is a feature that is missing.

/** All of a file, or undefined when it can't be read. */
export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Its first line. */
export function firstLine(path: string): string | undefined {
  return textOf(path)?.split('\n')[0]
}

/** A field of this program's `/proc/self/status`; proc_pid_status(5). */
export function statusField(name: string): string | undefined {
  const line = textOf('/proc/self/status')
    ?.split('\n')
    .find(line => line.startsWith(`${name}:`))
  return line?.slice(name.length + 1).trim()
}
