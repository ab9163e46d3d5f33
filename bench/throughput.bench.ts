// A gigabyte through standard output: from a program in a container, and from
// the same program as a bare child process. Interleaved, a new order each round.
//
//   npm run bench -- throughput [--json]
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, unlinkSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Container } from 'cofferdam'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'

const SIZE = 1e9
const ROUNDS = 11
const WRITE = '/bin/write'

const bench = new Workbench()
bench.compileText(
  'rootfs/bin/write',
  `#include <unistd.h>
   static char zeros[65536];
   int main(void) {
     for (long left = ${SIZE}; left > 0;) {
       long n = write(1, zeros, left < 65536 ? left : 65536);
       if (n < 0) return 1;
       left -= n;
     }
   }`,
)
bench.compileText(
  'read',
  `#include <unistd.h>
   static char bytes[65536];
   int main(void) {
     long sum = 0, n;
     while ((n = read(0, bytes, 65536)) > 0) sum += n;
     return sum != ${SIZE};
   }`,
)

/** Counts what arrives. */
async function drain(stream: Readable): Promise<void> {
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  await once(stream, 'end')
  if (size !== SIZE) throw new Error(`${size} bytes arrived`)
}

async function contained(): Promise<number> {
  const box = await new Container().rootfs(bench.rootfs).create()
  const begin = performance.now()
  const main = await box.start([WRITE])
  await drain(main.stdout)
  await main.exited
  const end = performance.now()
  await box.delete()
  return end - begin
}

async function bare(): Promise<number> {
  const begin = performance.now()
  const child = spawn(`${bench.rootfs}${WRITE}`, { stdio: ['pipe', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  await drain(child.stdout)
  await exited
  return performance.now() - begin
}

/** The same kind of pipe and of stream as a container has, and no container. */
async function plainPipe(): Promise<number> {
  const fifo = join(bench.folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const begin = performance.now()
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(fifo, constants.O_WRONLY)
  const child = spawn(`${bench.rootfs}${WRITE}`, { stdio: ['pipe', writer, 'pipe'] })
  closeSync(writer)
  unlinkSync(fifo)
  const exited = once(child, 'exit')
  await drain(new Socket({ fd: reader, readable: true, writable: false }))
  await exited
  return performance.now() - begin
}

/** Through a pipe to another program, without Node in between. */
async function programs(): Promise<number> {
  const begin = performance.now()
  const script = `${bench.rootfs}${WRITE} | ${bench.folder}/read`
  const [code] = await once(spawn('sh', ['-c', script], { stdio: 'ignore' }), 'exit')
  if (code !== 0) throw new Error(`exit code ${code}`)
  return performance.now() - begin
}

const contenders = { contained, plainPipe, bare, programs }
type Name = keyof typeof contenders
const times: Record<Name, number[]> = { contained: [], plainPipe: [], bare: [], programs: [] }
try {
  for (let round = 0; round <= ROUNDS; round++)
    for (const name of shuffle(Object.keys(contenders) as Name[])) {
      const time = await contenders[name]()
      if (round > 0) times[name].push(time) // the first warms up
    }
} finally {
  bench.remove()
}

const row = (name: string, of: number[], target?: Row['target']): Row => ({
  name,
  unit: 'ms',
  median: median(of),
  p95: quantile(of, 0.95),
  count: of.length,
  ...(target === undefined ? {} : { target }),
})

/** How many times another's time ours is, as a target. */
function against(name: string, other: number[]): Row['target'] {
  const ratio = median(times.contained) / median(other)
  return { text: `at most 1.1 times ${name}: ${ratio.toFixed(2)}`, met: ratio <= 1.1 }
}

report('1 GB through standard output', [
  row('cofferdam', times.contained),
  row('the same pipe, no container', times.plainPipe, against('it', times.plainPipe)),
  row('child_process.spawn: a socket', times.bare, against('it', times.bare)),
  row('a pipe between two programs', times.programs),
])
