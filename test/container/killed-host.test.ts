import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { needsRoot, scratch } from '../support/index.js'

const driver = fileURLToPath(new URL('../support/killed-hosts.js', import.meta.url))
const run = promisify(execFile)

// 200 programs that make, start, join and delete containers, each killed at
// some moment: nothing is left that list() does not show, and delete() clears
// the rest.
for (const [lifetime, rounds] of [
  ['attached', 70],
  ['detached', 70],
  ['released', 60],
] as const)
  t.test(`${rounds} programs with ${lifetime} containers are killed`, needsRoot, async t => {
    t.setTimeout(300_000)
    const options = ['--pid', '--fork', '--mount', '--mount-proc', '--kill-child']
    const { stdout } = await run('unshare', [
      ...options,
      ...['sh', '-c', '"$@"; exit', 'sh'], // which waits for whoever is left to it
      process.execPath,
      driver,
      lifetime,
      `${rounds}`,
      join(scratch(t)),
    ])
    const { problems, moments } = JSON.parse(stdout)
    t.same(problems, [])
    for (const moment of ['c', 's', 'e', 'd']) t.ok(moments[moment] > 0, `killed in ${moment}`)
  })
