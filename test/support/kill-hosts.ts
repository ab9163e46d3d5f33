import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { parentGroup } from './cgroups.js'
import { needsRoot, scratch } from './index.js'

const driver = fileURLToPath(new URL('./killed-hosts.js', import.meta.url))
const run = promisify(execFile)

/**
 * Tests that programs which make, start, join and delete containers of one lifetime, each killed
 * at some moment, leave nothing that list() does not show, and that delete() clears the rest.
 */
export function killsHosts(lifetime: 'attached' | 'detached' | 'released', rounds: number): void {
  for (const [times, grouped] of [
    [rounds, false],
    [16, true],
  ] as const) {
    const which = `${lifetime} containers${grouped ? ' with control groups' : ''}`
    t.test(`${times} programs with ${which} are killed`, needsRoot, async t => {
      const options = ['--pid', '--fork', '--mount', '--mount-proc', '--kill-child']
      const { stdout } = await run('unshare', [
        ...options,
        ...['sh', '-c', '"$@"; exit', 'sh'], // which waits for whoever is left to it
        process.execPath,
        driver,
        lifetime,
        `${times}`,
        scratch(t),
        ...(grouped ? [(await parentGroup(t)).path] : []),
      ])
      const { problems, moments } = JSON.parse(stdout)
      t.same(problems, [])
      for (const moment of ['c', 's', 'e', 'd']) t.ok(moments[moment] > 0, `killed in ${moment}`)
    })
  }
}
