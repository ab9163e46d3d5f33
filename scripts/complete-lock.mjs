// Completes package-lock.json after `npm install`: a registry mirror may lack
// packages that are for other platforms only, and then npm leaves them out of
// the lock file, which `npm ci` later calls incomplete. They are entered with
// the platform that their names tell. Also drops the addresses that packages
// were fetched from: a lock file is about versions and hashes.
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const systems = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const processors = [
  'arm64',
  'arm',
  'x64',
  'ia32',
  'ppc64',
  'riscv64',
  's390x',
  'loong64',
  'mips64el',
]

for (const entry of Object.values(lock.packages)) {
  delete entry.resolved
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`
    const os = systems.find(system => name.includes(`-${system}`))
    const cpu = processors.find(processor => name.includes(`-${processor}`))
    if (lock.packages[key] !== undefined || os === undefined || cpu === undefined) continue
    lock.packages[key] = { version, cpu: [cpu], dev: true, optional: true, os: [os] }
    if (os === 'linux') lock.packages[key].libc = [name.includes('musl') ? 'musl' : 'glibc']
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)),
)
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
