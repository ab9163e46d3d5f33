import { execFile } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { scratch } from './index.js'

/** An ordinary user that no machine has. */
export const USER = 61_234
export const GROUP = 61_235
/** Its first subordinate id, where {@link asUser} gives it such. */
export const SUBORDINATE = 1_700_000_000

/** How a program of an ordinary user is to run. */
export interface AsUser {
  /** It has 65536 subordinate ids, and a name for newuidmap(1) to know it by. */
  subordinate?: boolean
  /** Shell commands that root runs before, in a mount namespace of the program's own. */
  before?: string
  env?: Record<string, string>
}

/** What a program has said, as JSON in its last line, and how it ended. */
const script = (body: string) => `
  import { existsSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
  import { bind, CofferdamError, Container, overlay, tmpfs } from 'cofferdam'
  import { rememberTraces, run, runIn, overHost, terminalShell, until } from '${new URL('./index.js', import.meta.url)}'
  const told = ({ code, syscall, step, path, option, hint, message }) =>
    ({ code, syscall, step, path, option, hint, message })
  const nothingLeft = await rememberTraces()
  const say = value => console.log(JSON.stringify(value) ?? 'null')
  const sh = async (builder, script, options) => {
    const { stdout, stderr } = await run(builder, ['sh', '-c', script], options)
    return (stdout + stderr).trim()
  }
  ${body}
  const failures = []
  await nothingLeft({
    same: (a, b, what) => JSON.stringify(a) === JSON.stringify(b) || failures.push(what),
    equal: (a, b, what) => a === b || failures.push(what),
    ok: (is, what) => is || failures.push(what),
  })
  if (failures.length > 0) throw new Error('not so: ' + failures.join(', '))`

/**
 * Runs a program as an ordinary user, in a folder of its own, and gives what it
 * has said with `say()`. It fails when the program does, or leaves anything.
 */
export function asUser(t: Test, body: string, how: AsUser = {}): Promise<unknown[]> {
  const own = scratch(t)
  chownSync(own, USER, GROUP)
  const files = scratch(t)
  const before = [`mount --make-rprivate /`, how.before ?? '']
  if (how.subordinate) {
    const texts = {
      passwd: `root:x:0:0::/root:/bin/sh\nordinary:x:${USER}:${GROUP}::${own}:/bin/sh\n`,
      group: `root:x:0:\nordinary:x:${GROUP}:\n`,
      subuid: `ordinary:${SUBORDINATE}:65536\n`,
      subgid: `ordinary:${SUBORDINATE}:65536\n`,
    }
    for (const [name, text] of Object.entries(texts)) {
      writeFileSync(join(files, name), text)
      before.push(`[ -e /etc/${name} ] && mount --bind ${files}/${name} /etc/${name}`)
    }
  }
  const user = `setpriv --reuid=${USER} --regid=${GROUP} --clear-groups`
  const commands = [...before.filter(Boolean), `exec ${user} "$@"`].join('\n')
  const args = ['--mount', 'sh', '-e', '-c', commands, 'sh', process.execPath]
  const env = { PATH: process.env.PATH, HOME: own, TMPDIR: own, OWN: own, ...how.env }
  return new Promise((resolve, reject) =>
    execFile(
      'unshare',
      [...args, '--enable-source-maps', '--input-type=module', '-e', script(body)],
      { env, timeout: 40_000 },
      (error, stdout, stderr) => {
        if (error) return reject(new Error(`${error.message}: ${stdout}${stderr}`))
        resolve(
          stdout
            .trim()
            .split('\n')
            .filter(Boolean)
            .map(line => JSON.parse(line)),
        )
      },
    ),
  )
}
