// npm test [-- FILE…]: set-up, then the tests, or some of them. The last line
// counts what was tried; what could not be is named before it, with its reason.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { setup } from './setup.mjs'

setup()
const root = fileURLToPath(new URL('..', import.meta.url))

/** test/x/y.test.ts, or any part of such a name, as the compiled file. */
function compiled(name) {
  const wanted = name.replace(/^.*\/?test\//, '').replace(/\.ts$/, '.js')
  const found = readdirSync(`${root}out/test`, { recursive: true })
    .map(String)
    .filter(file => file.endsWith('.test.js') && file.includes(wanted))
  if (found.length === 0) {
    console.error(`no test file matches ${name}`)
    process.exit(2)
  }
  return found.map(file => `out/test/${file}`)
}

const files = process.argv.slice(2).flatMap(compiled)
const tap = spawn(
  process.execPath,
  [`${root}node_modules/tap/dist/esm/run.mjs`, 'run', '--reporter=tap', ...files],
  { cwd: root, stdio: ['inherit', 'pipe', 'inherit'] },
)
const skipped = []
let file = ''
let failing = 0
const counts = { total: 0, pass: 0, fail: 0, skip: 0 }
for await (const line of createInterface({ input: tap.stdout })) {
  const subtest = /^# Subtest: (.*)/.exec(line)
  if (subtest) file = subtest[1]
  const skip = /^\s*ok \d+ - (.*) # SKIP ?(.*)/.exec(line)
  if (skip) skipped.push(`${file}: ${skip[1]}: ${skip[2] || 'no reason given'}`)
  const summary = /^# (\{ total: .*\})/.exec(line)
  if (summary) {
    for (const [, name, number] of summary[1].matchAll(/(\w+): (\d+)/g))
      counts[name] = Number(number)
  }
  // One line for each file that is well, everything of one that is not.
  const done = /^(not )?ok \d+ - (\S+) # time=(.*)/.exec(line)
  if (done) {
    console.log(
      `${done[1] ? 'FAILED ' : '  ok   '} ${done[2].replace('out/', '').replace('.js', '.ts')} ${done[3]}`,
    )
    failing = done[1] ? 1 : 0
  } else if (/^\s+not ok /.test(line)) {
    failing = 1
    console.log(`${file}\n${line}`)
  } else if (failing && /^\s/.test(line) && !/^\s+ok /.test(line)) console.log(line)
  else if (/^\s+ok /.test(line)) failing = 0
}
const code = await new Promise(resolve =>
  tap.exitCode === null ? tap.on('exit', resolve) : resolve(tap.exitCode),
)

if (skipped.length > 0) {
  console.log('\nSkipped:')
  for (const line of skipped) console.log(`  ${line}`)
}
const { pass, fail, skip } = counts
if (pass + fail === 0) console.log('no test ran')
console.log(`${pass} passed, ${fail} failed, ${skip} skipped`)
process.exitCode = code !== 0 || fail > 0 || pass === 0 ? 1 : 0
