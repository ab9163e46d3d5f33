// Kills programs that make containers, in each of their moments by turns and at a random
// time of it, and looks at what is left. To be run in a PID namespace of its own, so that
// all processes there are its own doing, below a process 1 that waits for orphans:
// node killed-hosts.js LIFETIME ROUNDS FOLDER [GROUP], a group below which each container
// is to have one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, Container } from 'cofferdam'
import { foldersAt } from './cgroups.js'

const [lifetime, rounds, folder, parent = ''] = process.argv.slice(2) as [string, string, string]
const grouped = parent === '' ? '' : `.limits({}).cgroup({ parent: ${JSON.stringify(parent)} })`
const state = { stateFolder: join(folder, 'state') }
const root = join(folder, 'root')
for (const name of ['proc', 'sys', 'dev', 'usr']) mkdirSync(join(root, name), { recursive: true })
for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name))

/** Goes on until it is killed, and says by letters how far it has come. */
const host = `
  import { writeSync } from 'node:fs'
  import { bind, Container, tmpfs } from 'cofferdam'
  const say = letter => writeSync(1, letter)
  say('r')
  for (let i = 0; ; i++) {
    say('c')
    const box = await new Container('box' + i)
      .rootfs(${JSON.stringify(root)}).mount(bind('/usr', '/usr', { readonly: true }), tmpfs('/made'))${grouped}
      .create(${JSON.stringify({ lifetime, ...state })})
    say('s')
    await box.start(['sleep', '1000'])
    say('e')
    await box.exec(['sleep', '1000'])
    say('d')
    await box.delete()
  }`

interface Living {
  pid: number
  parent: number
  name: string
}

/** All processes of this PID namespace but this one and the first. */
function living(): Living[] {
  return readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry) || ['1', `${process.pid}`].includes(entry)) return []
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1')
      const [, name = '', rest = ''] = /^\d+ \((.*)\) (.*)/s.exec(stat) ?? []
      const [status, parent] = rest.split(' ')
      return status === 'Z' || status === 'X'
        ? []
        : [{ pid: Number(entry), parent: Number(parent), name }]
    } catch {
      return []
    }
  })
}

/** Those that belong to none of these containers. */
function unaccounted(boxes: readonly Box[]): Living[] {
  const all = living()
  const known = new Set<number>(boxes.flatMap(box => box.pid ?? []))
  for (const { pid, name } of all)
    if (
      name === 'cofferdam-keep' &&
      all.some(child => child.parent === pid && known.has(child.pid))
    )
      known.add(pid)
  for (let grown = true; grown; ) {
    grown = false
    for (const { pid, parent } of all)
      if (known.has(parent) && !known.has(pid)) {
        known.add(pid)
        grown = true
      }
  }
  return all.filter(({ pid }) => !known.has(pid))
}

async function settles(check: () => boolean): Promise<boolean> {
  for (let i = 0; i < 2000; i++) {
    if (check()) return true
    await sleep(10)
  }
  return false
}

/** Groups of containers that are there. */
const groups = () => (parent === '' ? [] : foldersAt(parent).flatMap(at => subfolders(at)))
const subfolders = (at: string) =>
  readdirSync(at, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? entry.name : []))

const tree = () => (readdirSync(root, { recursive: true }) as string[]).sort().join()
const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')
const before = { tree: tree(), mounts: mounts() }
const problems: string[] = []
const moments: Record<string, number> = {}
const found: Record<string, number> = {}
/** How long each moment has taken, in milliseconds: that depends on the machine. */
const spans: Record<string, number> = {}

for (let round = 0; round < Number(rounds); round++) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', host], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('../../..', import.meta.url),
  })
  let said = ''
  let since = 0
  child.stdout.on('data', chunk => {
    const now = performance.now()
    const before = said.at(-1)
    if (before !== undefined) spans[before] = now - since
    said += chunk
    since = now
  })
  await once(child.stdout, 'data')
  const far = 2 + (round % 8)
  while (said.length < far) await once(child.stdout, 'data')
  const span = spans[said.at(-1) as string] ?? 10
  if (span > 2) await sleep(Math.random() * span) // a timer takes a millisecond at least
  child.kill('SIGKILL')
  await once(child, 'close')
  const moment = said.at(-1) ?? ''
  moments[moment] = (moments[moment] ?? 0) + 1
  const problem = (what: string) => problems.push(`round ${round}, ${said}: ${what}`)

  // What is about to end by itself has twenty seconds to do so.
  let strangers: Living[] = []
  for (let i = 0; i < 2000; i++) {
    strangers = unaccounted(await Container.list(state))
    if (strangers.length === 0) break
    await sleep(10)
  }
  if (strangers.length > 0) problem(`nobody’s processes: ${JSON.stringify(strangers)}`)
  const boxes = await Container.list(state)
  if (boxes.length === 0 && tree() !== before.tree) problem(`nobody’s files: ${tree()}`)
  if (boxes.length === 0 && groups().length > 0) problem(`nobody’s groups: ${groups()}`)
  if (mounts() !== before.mounts) problem('a mount')
  for (const box of boxes) {
    found[box.status] = (found[box.status] ?? 0) + 1
    try {
      await box.delete()
    } catch (error) {
      problem(`delete: ${error}`)
    }
  }
  if (!(await settles(() => living().length === 0))) problem(`left: ${JSON.stringify(living())}`)
  if (tree() !== before.tree) problem(`files are left: ${tree()}`)
  if (groups().length > 0) problem(`groups are left: ${groups()}`)
  const left = readdirSync(folder).includes('state') ? readdirSync(state.stateFolder) : []
  if (left.some(name => !name.startsWith('.'))) problem(`state is left: ${left}`)
  const open = readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('pidfd')
    } catch {
      return false
    }
  })
  if (round > 0 && open.length > 3) problem(`descriptors: ${open.length}`)
}
console.log(JSON.stringify({ problems, moments, found }))
process.exit(0)
