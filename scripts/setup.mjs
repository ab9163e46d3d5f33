// Makes a checkout ready to run: dependencies, addon, compiled TypeScript. Does
// only what is missing or out of date, and with Node's built-in modules alone,
// since it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeHeaders } from './headers.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

function filesBelow(path) {
  const absolute = join(root, path)
  if (!existsSync(absolute)) return []
  return readdirSync(absolute, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

/** A hash of files' contents, and of what else matters. */
function fingerprint(paths, ...more) {
  const hash = createHash('sha256').update(JSON.stringify(more))
  for (const path of paths) hash.update(path).update('\0').update(readFileSync(path)).update('\0')
  return hash.digest('hex')
}

function run(command, args, remedy) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...nodeHeaders() },
    maxBuffer: 1 << 28,
  })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  const problem = result.error?.message ?? `exit status ${result.status}`
  process.stderr.write(`\n${[command, ...args].join(' ')}: ${problem}\n${remedy}\n`)
  process.exit(1)
}

/** Runs `work` unless it has been done for the same inputs before. */
function stage(name, stamp, expected, outputs, work) {
  const file = join(root, stamp)
  const current = existsSync(file) ? readFileSync(file, 'utf8') : ''
  if (current === expected && outputs.every(path => existsSync(join(root, path)))) return
  timed(name, work)
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, expected)
}

/** Says on standard error what is being done, and how long it took. */
function timed(name, work) {
  const begin = Date.now()
  process.stderr.write(`${name} … `)
  work()
  process.stderr.write(`${((Date.now() - begin) / 1000).toFixed(1)} s\n`)
}

/**
 * Whether what the lock file says is installed. npm writes down last of all what it has
 * installed; what is for other platforms is not there.
 */
function isInstalled() {
  const installed = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const packagesOf = file => JSON.parse(readFileSync(file, 'utf8')).packages ?? {}
  const { '': _, ...wanted } = packagesOf(join(root, 'package-lock.json'))
  const there = packagesOf(installed)
  return (
    Object.keys(there).every(path => path in wanted) &&
    Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
      const found = there[path]
      if (found === undefined) return optional === true
      return found.version === version && found.integrity === integrity
    })
  )
}

export function setup() {
  if (!isInstalled())
    timed('installing dependencies', () =>
      run(
        'npm',
        ['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
        'The npm registry must be reachable: see the output above.',
      ),
    )
  if (process.platform === 'linux')
    stage(
      'building the addon',
      'build/.cofferdam-stamp',
      fingerprint(
        [
          ...filesBelow('src-native'),
          join(root, 'binding.gyp'),
          join(root, 'scripts/embed-init.mjs'),
        ],
        process.versions.modules,
        process.env.CC,
        process.env.CXX,
      ),
      ['build/Release/cofferdam.node', 'build/Release/init-faulty'],
      () =>
        run(
          process.execPath,
          [join(root, 'node_modules/node-gyp/bin/node-gyp.js'), 'rebuild'],
          'Building needs a C and a C++ compiler, make and python3; on Debian: apt-get install build-essential python3',
        ),
    )
  stage(
    'compiling TypeScript',
    'out/.cofferdam-stamp',
    fingerprint([
      ...['lib', 'examples', 'test', 'bench']
        .flatMap(filesBelow)
        .filter(path => /\.(ts|json)$/.test(path)),
      ...['tsconfig.json', 'tsconfig.base.json', 'package-lock.json'].map(path => join(root, path)),
    ]),
    ['dist/index.js'],
    () =>
      run(
        process.execPath,
        [join(root, 'node_modules/typescript/bin/tsc'), '--build'],
        'The errors above are in the TypeScript sources.',
      ),
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup()
