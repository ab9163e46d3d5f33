import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Container, tmpfs } from 'cofferdam'
import { layoutNow } from 'cofferdam/cgroups'
import t, { type Test } from 'tap'
import { scratch } from './support/index.js'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

// An ordinary user's plan has a user namespace besides.
const ofRoot = process.geteuid?.() === 0 ? {} : { skip: 'what they show is the plan of root' }

t.test('docs/how-a-start-works.md shows what explain() prints, in its order', ofRoot, async t => {
  const root = join(scratch(t), 'root')
  mkdirSync(root)
  const builder = new Container('demo')
    .rootfs(root, { readonly: true })
    .mount(tmpfs('/tmp'))
    .process({ argv: ['sh', '-c', 'echo hello'], user: 1000 })
  t.ok(compare(t, 'explain', builder.explain().replaceAll(root, '/srv/demo')) > 40)
})

const hybrid =
  ofRoot.skip === undefined && layoutNow().mode !== 'hybrid'
    ? { skip: 'what it shows is a host with both versions' }
    : ofRoot

t.test('and what a group adds', hybrid, async t => {
  const text = new Container('demo')
    .rootfs('/')
    .limits({ memory: '256MiB', pids: 64 })
    .cgroup({ manager: 'cgroupfs' })
    .explain()
  t.ok(compare(t, 'explain-limits', text) > 5)
})

/** What a page shows has to be printed, in its order. Gives how many lines that are. */
function compare(t: Test, kind: string, text: string): number {
  const printed = text.split('\n')
  const page = read('docs/how-a-start-works.md')
  const shown = [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\``, 'gms'))]
    .flatMap(([, block]) => (block as string).split('\n'))
    .filter(line => line !== '')
  let at = -1
  for (const line of shown) {
    const next = printed.findIndex(
      (candidate, i) => i > at && candidate.trimEnd() === line.trimEnd(),
    )
    if (next < 0) t.fail(`not printed, or not here: ${line}`)
    else at = next
  }
  return shown.length
}

t.test('what the README and the guides link to is there', async t => {
  for (const page of ['README.md', 'CONTRIBUTING.md', 'docs/decisions.md', 'docs/status.md']) {
    const folder = page.includes('/') ? 'docs/' : ''
    for (const [, target] of read(page).matchAll(/\]\(([^)#:]+)\)/g))
      t.ok(read(`${folder}${target}`), `${page}: ${target}`)
  }
})
