// How long one more program takes in a container that runs, against a bare
// child_process.spawn, nsenter and runc exec.
//
//   npm run bench -- exec [--json]
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { Container } from 'cofferdam'
import { bundleFor, type Contender, childProcess, spawned, versionOf } from './lib/contenders.js'
import { TRUE, Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const COUNT = 200
const bench = new Workbench()
const closing: (() => unknown)[] = []

async function ours(): Promise<Contender & { pid: number }> {
  const box = await new Container().rootfs(bench.rootfs).create()
  await box.start(['/bin/wait'], { stdio: 'ignore' })
  closing.push(() => box.delete())
  return {
    name: 'cofferdam, exec',
    pid: box.pid as number,
    async run() {
      const begin = performance.now()
      const process = await box.exec([TRUE], { stdio: 'ignore' })
      const { exitCode } = await process.exited
      if (exitCode !== 0) throw new Error(`exit code ${exitCode}`)
      return performance.now() - begin
    },
  }
}

function nsenter(pid: number): Contender | undefined {
  const version = versionOf('nsenter')
  if (version === undefined) return undefined
  return { name: 'nsenter', version, run: () => spawned('nsenter', ['-t', `${pid}`, '-a', TRUE]) }
}

/** A container of runc's that waits, and programs in it. */
async function runcExec(): Promise<Contender | undefined> {
  const version = versionOf('runc')
  if (version === undefined) return undefined
  const bundle = bundleFor(bench, 'runc', ['/bin/wait'])
  const root = ['--root', join(bundle, 'state')]
  const id = `bench-exec-${process.pid}`
  const running: ChildProcess = spawn('runc', [...root, 'run', '--bundle', bundle, id], {
    stdio: 'ignore',
  })
  closing.push(() => {
    execFileSync('runc', [...root, 'delete', '--force', id])
    return new Promise(resolve => running.once('exit', resolve))
  })
  const state = join(bundle, 'state', id, 'state.json')
  for (let i = 0; i < 500 && !existsSync(state); i++)
    await new Promise(resolve => setTimeout(resolve, 10))
  return { name: 'runc exec', version, run: () => spawned('runc', [...root, 'exec', id, TRUE]) }
}

try {
  bench.compileText('wait', '#include <unistd.h>\nint main(void) { pause(); return 0; }\n')
  copyFileSync(join(bench.folder, 'wait'), join(bench.rootfs, 'bin/wait'))
  const own = await ours()
  const spawning = childProcess(bench)
  const others = [nsenter(own.pid), await runcExec()]
  const all: Contender[] = [own, spawning, ...others.filter(one => one !== undefined)]
  const times = new Map(all.map(contender => [contender, [] as number[]]))
  for (let round = -10; round < COUNT; round++)
    for (const contender of all) {
      // What takes long is tried less often.
      if (contender.name === 'runc exec' && round % 5 !== 0) continue
      const time = await contender.run()
      if (round >= 0) times.get(contender)?.push(time)
    }
  const middle = (contender: Contender) => median(times.get(contender) ?? [])
  const rows: Row[] = all.map(contender => ({
    name: contender.version ? `${contender.name} (${contender.version})` : contender.name,
    unit: 'ms',
    median: middle(contender),
    p95: quantile(times.get(contender) ?? [], 0.95),
  }))
  const ratio = middle(own) / middle(spawning)
  rows.push({
    name: 'exec, against spawn',
    unit: 'times',
    median: ratio,
    target: { text: 'at most 1.25', met: ratio <= 1.25 },
  })
  for (const other of others) {
    if (other === undefined) continue
    const faster = middle(other) / middle(own)
    const target = { text: 'at least 10', met: faster >= 10 }
    rows.push({ name: `faster than ${other.name}`, unit: 'times', median: faster, target })
  }
  report(`One more program in a running container, ${COUNT} times, in turns`, rows)
} finally {
  for (const close of closing) await close()
  bench.remove()
}
