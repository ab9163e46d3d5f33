// What it means to be process 1 of a PID namespace: node out/examples/first-process.js
//
// pid_namespaces(7): signals that it has no handler for do not reach it, orphans
// become its children, which it has to wait for, and with its end the kernel
// ends all the others. Most programs do not know that they are process 1; a
// small init in front of them does (`init: true`).
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, CofferdamError, Container, overlay } from 'cofferdam'

const description = new Container().rootfs(overlay({ lower: ['/'] }))

/** What ps(1) shows of the processes named sleep. */
async function sleepers(box: Box): Promise<string[]> {
  const ps = await box.exec(['ps', '-C', 'sleep', '-o', 'pid=,ppid=,stat=,comm='])
  const lines = (await ps.stdout.text()).trim().split('\n')
  return lines.map(line => line.trim().replace(/ +/g, ' '))
}

/** Leaves an orphan that ends at once, and waits until what is to be seen is as expected. */
async function leaveOrphan(box: Box, expected: (seen: string[]) => boolean): Promise<string[]> {
  const parent = await box.exec(['sh', '-c', 'sleep 0 & exec true'])
  await parent.exited
  let seen: string[] = []
  for (let i = 0; i < 100; i++) {
    seen = await sleepers(box)
    if (expected(seen)) break
    await sleep(10)
  }
  return seen
}

const isZombie = (line: string) => / Z/.test(line)

async function asItIs(): Promise<void> {
  await using box = await description.create()
  const main = await box.start(['sleep', '600'], { stdio: 'ignore' })

  console.log('sleep(1) as process 1')
  await box.kill('SIGTERM')
  await sleep(100)
  console.log(`  after SIGTERM: ${box.status}, since it has no handler`)
  const seen = await leaveOrphan(box, lines => lines.some(isZombie))
  for (const line of seen.filter(isZombie))
    console.log(`  an orphan that nobody waits for: ${line}`)

  const other = await box.exec(['sleep', '600'], { stdio: 'ignore' })
  await box.kill('SIGKILL') // from outside; no process inside could send it
  console.log(`  process 1 ended with ${(await main.exited).signal}`)
  console.log(`  another one, whom nobody sent anything, with ${(await other.exited).signal}`)
}

async function withInit(): Promise<void> {
  await using box = await description.create()
  const main = await box.start(['sleep', '600'], { stdio: 'ignore', init: true })

  console.log('the same below a small init')
  console.log(`  sleep(1) is now process ${(await sleepers(box))[0]?.split(' ')[0]}`)
  const left = await leaveOrphan(box, lines => lines.length === 1)
  const zombies = left.filter(isZombie)
  console.log(`  zombies: ${zombies.length}`)
  await box.kill('SIGTERM')
  const { exitCode } = await main.exited
  console.log(`  after SIGTERM: ${box.status}, exit code ${exitCode} (128 and the signal's number)`)
}

try {
  await asItIs()
  await withInit()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
