// Who takes more memory than its container may have, and what becomes of it:
// node out/examples/memory-hog.js
//
// memory.max is for all of a group together, page cache included. At the limit the
// kernel first takes back what it can; when that is not enough it kills the one that
// has most, with SIGKILL, and counts it. Swap is limited apart; 0 keeps it from
// putting off the end. The processes of a container are in its group before their first
// instruction, so that nothing escapes.
import { CofferdamError, Container, overlay } from 'cofferdam'

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`

try {
  await using box = await new Container()
    .rootfs(overlay({ lower: ['/'] }))
    .limits({ memory: { max: '64MiB', swap: 0 } })
    .create()
  const modest = await box.start(['sh', '-c', 'echo "a shell is content"; exec cat'])
  for await (const line of modest.stdout.lines()) {
    console.log(line)
    break
  }

  // tail keeps the last line, which never ends.
  const kills = box.cgroup?.events({ only: ['oomKill'] })
  const hog = await box.exec(['tail', '/dev/zero'], { stdio: 'ignore' })
  for await (const event of kills ?? []) {
    if (event.type !== 'oomKill') continue
    console.log(`the kernel says: ${event.count} killed, ${event.total} in all`)
    break
  }
  const { signal } = await hog.exited
  console.log(`tail /dev/zero: ended by ${signal}`)
  const peak = async () => mebibytes((await box.stats()).memory?.peak ?? 0)
  console.log(`most there was: ${await peak()}`)

  // With twice as much, from one moment to the next, another gets further.
  await box.update({ memory: { max: '128MiB' } })
  const second = await box.exec(['tail', '/dev/zero'], { stdio: 'ignore' })
  await second.exited
  console.log(`with 128 MiB: ${await peak()}`)

  modest.stdin.end()
  console.log(`the shell has been left alone: exit code ${(await modest.exited).exitCode}`)
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
