// What containers use, live:
//   node out/examples/top.js [GROUP…] [--interval 1s] [--once] [--json]
//
// A line for each group that is right below GROUP, or, without one, below /cofferdam,
// where containers have theirs. It is drawn anew at each interval, until q is typed;
// once only where the output is no terminal. With --json each drawing is a line of JSON.
import { totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, styleText } from 'node:util'
import { CofferdamError, cgroups } from 'cofferdam'
import logUpdate from 'log-update'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    interval: { type: 'string', default: '1s' },
    once: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const parents = positionals.length > 0 ? positionals : ['/cofferdam']
const interval = milliseconds(values.interval)
/** The first rates need a while to be rates of something. */
const FIRST = Math.min(interval, 300)

/** What a line shows. Rates are per second. */
interface Line {
  group: string
  /** Processors: 0.5 is half of one. */
  cpus: number
  memory: number
  /** Its limit, or all there is. */
  memoryLimit: number
  processes: number | undefined
  read: number
  written: number
  /** Percent of the last ten seconds in which something had to wait for memory. */
  memoryPressure: number | undefined
}

/** Some of it open from one drawing to the next: files of groups, and what they said. */
const reader = new cgroups.StatsReader({ only: ['cpu', 'memory', 'pids', 'io', 'pressure'] })
const known = new Map<string, cgroups.Cgroup>()
const before = new Map<string, cgroups.Stats>()

/** The groups that there are now; those that were there before are the same objects. */
async function groupsNow(): Promise<cgroups.Cgroup[]> {
  const now = new Map<string, cgroups.Cgroup>()
  for (const parent of parents)
    for (const group of await (await cgroups.Cgroup.open(parent)).children())
      now.set(group.path, known.get(group.path) ?? group)
  known.clear()
  for (const [path, group] of now) known.set(path, group)
  for (const path of before.keys()) if (!now.has(path)) before.delete(path)
  return [...now.values()]
}

async function linesNow(): Promise<Line[]> {
  const groups = await groupsNow().catch(error => {
    if ((error as CofferdamError).code === 'ENOENT') return [] // nobody has made any yet
    throw error
  })
  const figures = await reader.read(groups)
  const lines = groups.flatMap(({ path }, i) => {
    const [now, last] = [figures[i], before.get(path)]
    if (now === undefined) return [] // it has just been removed
    before.set(path, now)
    return [lineOf(path, now, last)]
  })
  return lines.sort((a, b) => b.cpus - a.cpus || b.memory - a.memory)
}

function lineOf(group: string, now: cgroups.Stats, last: cgroups.Stats | undefined): Line {
  const seconds = last === undefined ? Number.POSITIVE_INFINITY : (now.time - last.time) / 1000
  const rate = (of: (stats: cgroups.Stats) => number) =>
    last === undefined ? 0 : Math.max(0, of(now) - of(last)) / seconds
  const sum = (key: 'rbytes' | 'wbytes') => (stats: cgroups.Stats) =>
    stats.io?.devices.reduce((all, device) => all + Number(device[key]), 0) ?? 0
  const limit = now.memory?.limit
  return {
    group,
    cpus: rate(({ cpu }) => cpu?.usage ?? 0) / 1e6,
    memory: now.memory?.workingSet ?? 0,
    memoryLimit: typeof limit === 'number' ? Math.min(limit, totalmem()) : totalmem(),
    processes: now.pids?.current,
    read: rate(sum('rbytes')),
    written: rate(sum('wbytes')),
    memoryPressure: now.pressure?.memory?.some?.avg10,
  }
}

const WIDTH = 12
const EIGHTHS = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar of so much of one, with a precision of an eighth of a character. */
function bar(share: number): string {
  const eighths = Math.round(Math.min(Math.max(share, 0), 1) * WIDTH * 8)
  const rest = EIGHTHS[eighths % 8] as string
  const text = ('█'.repeat(eighths >> 3) + (rest === ' ' ? '' : rest)).padEnd(WIDTH)
  return styleText(share > 0.9 ? 'red' : share > 0.6 ? 'yellow' : 'green', text)
}

function size(bytes: number): string {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  const text = power === 0 ? `${Math.round(bytes)}` : (bytes / 1024 ** power).toFixed(1)
  return `${text} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`
}

/** No name may move the cursor. */
const visible = (text: string) => text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?')

function table(lines: readonly Line[]): string {
  if (lines.length === 0) return `nothing runs below ${parents.join(', ')}`
  const width = Math.max(5, ...lines.map(({ group }) => group.length))
  const head = `${'GROUP'.padEnd(width)}  ${'CPU'.padEnd(WIDTH + 6)}  ${'MEMORY'.padEnd(WIDTH + 11)}  TASKS  ${'READ/s'.padStart(10)}  ${'WRITE/s'.padStart(10)}  WAITS`
  const rows = lines.map(line =>
    [
      visible(line.group).padEnd(width),
      `${bar(line.cpus)} ${(line.cpus * 100).toFixed(0).padStart(4)}%`,
      `${bar(line.memory / line.memoryLimit)} ${size(line.memory).padStart(10)}`,
      `${line.processes ?? '-'}`.padStart(5),
      size(line.read).padStart(10),
      size(line.written).padStart(10),
      line.memoryPressure === undefined
        ? '    -'
        : `${line.memoryPressure.toFixed(0)}%`.padStart(5),
    ].join('  '),
  )
  return [styleText('bold', head), ...rows].join('\n')
}

function milliseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text)
  if (match === null) throw new Error(`${text} is no interval; 500ms and 2s are`)
  return Number(match[1]) * (match[2] === 's' ? 1000 : 1)
}

const quit = new AbortController()
let drawn = false
if (process.stdin.isTTY && process.stdout.isTTY && !values.once) {
  process.stdin.setRawMode(true)
  process.stdin.on('data', key => {
    if (['q', '\x03'].includes(String(key))) quit.abort() // or Ctrl-C
  })
}
process.once('SIGINT', () => quit.abort())

try {
  await linesNow()
  for (let wait = FIRST; !quit.signal.aborted; wait = interval) {
    await sleep(wait, undefined, { signal: quit.signal })
    const lines = await linesNow()
    if (values.json) console.log(JSON.stringify(lines))
    else if (process.stdout.isTTY && !values.once) {
      drawn = true
      logUpdate(table(lines))
    } else console.log(table(lines))
    if (values.once || !(process.stdout.isTTY || values.json)) break
  }
} catch (error) {
  if (error instanceof CofferdamError) console.error(error.message)
  else if ((error as Error).name !== 'AbortError') throw error
  process.exitCode = error instanceof CofferdamError ? 1 : 0
} finally {
  reader.close()
  if (drawn) logUpdate.done()
  process.stdin.pause()
}
