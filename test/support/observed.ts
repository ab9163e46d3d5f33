import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Box, Container, StartOptions } from 'cofferdam'
import type { Test } from 'tap'
import { overHost, shell } from './index.js'

const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
/** With a user namespace of its own. */
export const inUserNamespace = () => overHost().idMappings({ uid: ids, gid: ids })

/** A tool of the host's. */
export const tool = (file: string, ...args: string[]) =>
  execFileSync(file, args, { encoding: 'utf8' }).trim()

/** What a file of a process in proc says. */
export const file = (pid: number, name: string) =>
  readFileSync(`/proc/${pid}/${name}`, 'utf8').trim()

/** Starts `cat`, looks at it from outside and from inside, and ends it. */
export async function observe<T>(
  builder: Container,
  options: StartOptions,
  look: (pid: number, box: Box) => T | Promise<T>,
): Promise<T> {
  await using box = await builder.create()
  const main = await box.start(['cat'], options)
  return await look(main.pid, box)
}

/** What a script prints that is started, and one that joins, with the same options. */
export async function both(
  t: Test,
  script: string,
  options: StartOptions,
  expected: string | RegExp,
) {
  const check = (printed: string, how: string) =>
    typeof expected === 'string' ? t.equal(printed, expected, how) : t.match(printed, expected, how)
  check(await shell(overHost(), script, options), 'started')
  await using box = await overHost().create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  const joined = await box.exec(['sh', '-c', script], { ...options, stdio: 'pipe' })
  check((await joined.stdout.text()).trim(), 'joined')
  const plain = await box.exec(['sh', '-c', script])
  const otherwise = (await plain.stdout.text()).trim()
  if (typeof expected === 'string') t.not(otherwise, expected, 'and not without being asked')
  else t.notMatch(otherwise, expected, 'and not without being asked')
}
