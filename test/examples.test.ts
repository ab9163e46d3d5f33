import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { needsContainers, needsRoot } from './support/index.js'

/** Runs an example; gives what it printed. */
function example(name: string, ...args: string[]): Promise<string> {
  const file = fileURLToPath(new URL(`../examples/${name}.js`, import.meta.url))
  return new Promise((resolve, reject) =>
    execFile(process.execPath, [file, ...args], (error, stdout, stderr) =>
      error ? reject(Object.assign(new Error(stderr), { stdout })) : resolve(stdout),
    ).stdin?.end(),
  )
}

t.test('hello: the tour, the plan, a program', needsContainers, async t => {
  const tour = await example('hello')
  for (const line of [
    /^host name +hello/m,
    /pid 1 of \d/,
    /14 (of root's|in it)/,
    /still here/,
    /start to exit/,
  ])
    t.match(tour, line)
  t.match(await example('hello', 'explain'), /pivot_root/)
  t.equal(await example('shell', 'sh', '-c', 'hostname; echo $$'), 'hello\n1\n')
})

// It has users that an ordinary user's has only with subordinate ids.
t.test('exec: programs that join a running one', needsRoot, async t => {
  const printed = await example('exec')
  t.match(printed, /^server: open, as pid 1$/m)
  t.match(printed, /^server: daemon from house was visit 2$/m)
  t.match(printed, /asked to end\nended with { exitCode: 0, signal: null }/)
})

t.test('service: started, asked and stopped by programs of their own', needsContainers, async t => {
  const printed = await example('service')
  t.match(printed, /^started, as pid \d+; this program ends$/m)
  t.match(printed, /^example-service {2}running/m)
  t.match(printed, /^its errors so far: service: ready, as pid 1 of example-service$/m)
  t.match(printed, /^asked, in example-service$/m)
  t.match(printed, /^Ada was visit 1\n(Grace was visit 2\n)?/m)
  t.match(printed, /^ended with { exitCode: 0, signal: null } at 2/m)
})

t.test('rootless: what an ordinary user’s are outside', needsContainers, async t => {
  const printed = await example('rootless')
  t.match(printed, /^inside: {2}uid=0\(root\)/)
  t.match(printed, process.getuid?.() === 0 ? /^outside: 100000$/m : /^outside: [1-9]\d*$/m)
  t.match(printed, /^beside: {2}second 1$/m)
})

t.test('doctor: a table, and JSON', async t => {
  const root = process.getuid?.() === 0
  if (root) {
    const printed = await example('doctor')
    t.match(printed, /^Linux \d/m)
    t.match(printed, /^namespaces\n {2}✓ user/m)
    t.match(printed, /✓ a default container\n$/)
    t.notMatch(printed, /\x1b/, 'no colours where nobody sees them')
  }
  // Whether a container works here or not, it says what does.
  const printed = await example('doctor', '--json').catch(error => error.stdout)
  const { ok, checks } = JSON.parse(printed)
  t.equal(ok, checks.at(-1).ok)
})
