// Checks that imports go downward only: see the layers below. A folder is
// entered by its index alone, and examples see the package as a user does.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

// From top to bottom. Folders of one layer don't know each other.
const layers = [
  ['index.ts'],
  ['doctor'],
  ['container'],
  ['capabilities', 'cgroups', 'mounts', 'netlink', 'process'],
  ['namespaces'],
  ['run'],
  ['plan'],
  ['base'],
]
const rank = new Map(layers.flatMap((names, i) => names.map(name => [name, i])))
const root = fileURLToPath(new URL('..', import.meta.url))
const problems = []

function imports(file) {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^(?:import|export)\s(?:[^'"()=]*?\sfrom\s+)?['"]([^'"]+)['"]/gms)].map(
    match => match[1],
  )
}

function sources(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter(file => file.endsWith('.ts'))
}

let count = 0
for (const file of sources('lib')) {
  const from = file.split('/')[0]
  if (!rank.has(from)) problems.push(`lib/${file}: ${from} is in no layer`)
  for (const specifier of imports(`lib/${file}`)) {
    if (!specifier.startsWith('.')) continue
    count++
    const target = normalize(join(dirname(file), specifier)).replace(/\.js$/, '.ts')
    const to = target.split('/')[0]
    if (to === from) continue
    if (rank.get(to) <= rank.get(from)) problems.push(`lib/${file}: ${to} is not below ${from}`)
    if (target !== `${to}/index.ts`) problems.push(`lib/${file}: enters ${to} by ${target}`)
  }
}
for (const file of sources('examples'))
  for (const specifier of imports(`examples/${file}`))
    if (!/^(node:|cofferdam(\/|$)|log-update$|\.\/)/.test(specifier))
      problems.push(`examples/${file}: imports ${specifier}`)

for (const problem of problems) console.error(problem)
if (count === 0) problems.push('no import was found')
process.exitCode = problems.length > 0 ? 1 : 0
