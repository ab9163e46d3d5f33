// One container that keeps running, and programs that join it: node out/examples/exec.js
//
// The first process is a small server that counts visits. Others come into the
// same container: they see its processes, its files and its host name, each as
// a user of its own, and share nothing with the machine outside.
import { CofferdamError, Container, overlay } from 'cofferdam'

const SERVER = `
  trap "echo server: asked to end; exit 0" TERM
  mkfifo /tmp/door && chmod 666 /tmp/door
  echo "server: open, as pid $$"
  visits=0
  while :; do
    read -r who < /tmp/door && visits=$((visits + 1)) && echo "server: $who was visit $visits"
  done`

async function main(): Promise<void> {
  await using box = await new Container()
    .rootfs(overlay({ lower: ['/'] }))
    .hostname('house')
    .create()
  const server = await box.start(['sh', '-c', SERVER])
  server.stdin.end()
  const lines = server.stdout.lines()
  const next = async () => console.log((await lines.next()).value ?? '(nothing)')
  await next()

  for (const user of ['root', 'daemon', '1000']) {
    const script = 'echo "$(id -un 2>/dev/null || id -u) from $(hostname)" > /tmp/door'
    const visitor = await box.exec(['sh', '-c', script], { user })
    await visitor.exited
    await next()
  }

  console.log('\n  pid inside  outside  uid   program')
  for (const { containerPid, pid, uid, name } of await box.processes())
    console.log(
      `  ${`${containerPid}`.padEnd(11)} ${`${pid}`.padEnd(8)} ${`${uid}`.padEnd(5)} ${name}`,
    )

  console.log()
  const stopped = box.stop({ timeout: '2s' })
  await next()
  console.log('ended with', await stopped)
}

try {
  await main()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
