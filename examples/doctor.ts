// What this kernel lets you do, and what helps where it doesn't: node out/examples/doctor.js [--json]
//
// Each line has been tried. The exit code is 0 when a default container works.
import { type Check, doctor, type Report } from 'cofferdam'

const colours = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code: number, text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text)

const marks = {
  true: paint(32, '✓'),
  partly: paint(33, '~'),
  false: paint(31, '✗'),
}

function facts({ facts, milliseconds }: Report): string[] {
  const { user, capabilities, cgroups, inNamespaces, container } = facts
  return [
    `Linux ${facts.kernel}, ${facts.architecture}, Node ${facts.node}`,
    `user ${user.name ?? ''} (${user.uid}:${user.gid}), ${capabilities?.length ?? 'unknown'} capabilities`,
    `cgroups ${cgroups.version ?? 'not mounted'}${cgroups.manager === null ? '' : `, by ${cgroups.manager}`}; security modules ${facts.securityModules?.join(', ') ?? 'unknown'}`,
    ...(inNamespaces.length > 0 ? [`in namespaces of its own: ${inNamespaces.join(', ')}`] : []),
    ...(container === null ? [] : [`in a container: ${container}`]),
    paint(2, `tried in ${milliseconds} ms`),
  ]
}

function lines(check: Check, width: number): string[] {
  const { name, ok, detail, error, remedy } = check
  const margin = ' '.repeat(width + 6)
  const first = [error && paint(31, error.message), detail].filter(Boolean).join('; ')
  const all = [`  ${marks[`${ok}`]} ${name.padEnd(width)}  ${first}`.trimEnd()]
  if (remedy !== undefined) all.push(`${margin}${paint(2, `→ ${remedy}`)}`)
  return all
}

function print(report: Report): void {
  const width = Math.max(...report.checks.map(({ name }) => name.length))
  for (const fact of facts(report)) console.log(fact)
  let group = ''
  for (const check of report.checks) {
    if (check.group !== group) console.log(`\n${paint(1, check.group)}`)
    group = check.group
    for (const line of lines(check, width)) console.log(line)
  }
}

const report = await doctor()
if (process.argv.includes('--json')) console.log(JSON.stringify(report, null, 2))
else print(report)
process.exitCode = report.ok ? 0 : 1
