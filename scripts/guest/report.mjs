// Reads on standard input what the tests in a guest say, and tells it while they
// run: one line a file, all of what failed, what was skipped with its reason, and
// the counts at last. report.mjs NAME-OF-THE-LANE [file with the guest's console]
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const [, , lane, consoleFile] = process.argv
const skipped = []
const counts = { passed: 0, failed: 0 }
let done = false

/** What came last, for when the guest does not come to its end. */
const tail = []
/** The file that is being read. */
let file
let lines = []

for await (const raw of createInterface({ input: process.stdin })) {
  const line = raw.replaceAll('\r', '')
  tail.push(line)
  if (tail.length > 60) tail.shift()
  const begin = /^# FILE (\S+)$/.exec(line)
  const end = /^# EXIT (\d+) (\d+)$/.exec(line)
  if (begin) {
    file = begin[1].replace('./', 'test/').replace(/js$/, 'ts')
    lines = []
  } else if (end && file !== undefined) {
    tell(file, lines, end[1], end[2])
    file = undefined
  } else if (line === '# DONE') done = true
  else lines.push(line)
}

function tell(name, said, exit, seconds) {
  // Tests have subtests: what counts is at the bottom of the tree.
  const failures = said.filter(line => /^\s+not ok /.test(line))
  for (const line of said) {
    const skip = /^\s*ok \d+ - (.*) # SKIP ?(.*)$/.exec(line)
    if (skip) skipped.push(`${name}: ${skip[1]}: ${skip[2] || 'no reason given'}`)
  }
  const totals = said.findLast(line => /^# \{ total: .*\}$/.test(line)) ?? ''
  const number = key => Number(new RegExp(`${key}: (\\d+)`).exec(totals)?.[1] ?? 0)
  const well = exit === '0' && failures.length === 0
  counts.passed += number('pass')
  counts.failed += well ? 0 : Math.max(1, number('fail'))
  console.log(`${well ? '  ok   ' : 'FAILED '} ${name} ${seconds} s`)
  if (well) return
  if (exit === '124' || exit === '137') console.log(`it took longer than it may, ${seconds} s`)
  const told = said.flatMap((line, i) => (/^\s*not ok /.test(line) ? [said.slice(i, i + 40)] : []))
  console.log((told.length > 0 ? told.flat() : said.slice(-50)).join('\n'))
}

if (!done) {
  console.log('the guest did not come to its end; the last that it said:')
  console.log(tail.join('\n'))
  if (consoleFile !== undefined) {
    console.log('and on its console:')
    console.log(
      readFileSync(consoleFile, 'utf8').replaceAll('\r', '').split('\n').slice(-60).join('\n'),
    )
  }
}
if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map(line => `  ${line}`).join('\n')}`)
console.log(
  `in ${lane}: ${counts.passed} passed, ${counts.failed} failed, ${skipped.length} skipped`,
)
process.exitCode = done && counts.failed === 0 && counts.passed > 0 ? 0 : 1
