// Containers of an ordinary user, and what they are outside: node out/examples/rootless.js
// (as root it shows the same, by giving itself a user namespace)
import { readFileSync } from 'node:fs'
import { CofferdamError, Container, overlay } from 'cofferdam'

const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
const isRoot = own.uid === 0

/** An ordinary user's has a user namespace anyway; root says whom it is to have. */
function builder(id: string): Container {
  const container = new Container(id).rootfs(overlay({ lower: ['/'] }))
  if (!isRoot) return container
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  return container.idMappings({ uid: ids, gid: ids })
}

const ids = (text: string) => text.trim().replace(/\s+/g, ' ')

try {
  await using first = await builder('first').create()
  const main = await first.start(['sh', '-c', 'id; touch /tmp/mine; exec cat'])
  const lines = main.stdout.lines()
  console.log(`inside:  ${(await lines.next()).value}`)
  console.log(
    `outside: ${/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${main.pid}/status`, 'utf8'))?.[1]}`,
  )
  // First id inside, first outside, how many: one's own, and then subordinate ones.
  console.log(`map:     ${ids(readFileSync(`/proc/${main.pid}/uid_map`, 'utf8'))}`)

  // A second one in the user and network namespaces of the first, with files and
  // processes of its own.
  const of = (name: string) => `/proc/${main.pid}/ns/${name}`
  await using second = await new Container('second')
    .rootfs(overlay({ lower: ['/'] }))
    .isolate({ user: of('user'), network: of('net') }, 'mount', 'pid', 'ipc', 'uts', 'cgroup')
    .create()
  const other = await second.start(['sh', '-c', 'ls /tmp/mine; hostname; echo $$'])
  console.log(`beside:  ${ids((await other.stdout.text()) ?? '')}`)
  main.stdin.end()
  await main.exited
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  // A hint is part of the message: what forbids user namespaces here, say.
  console.error(error.message)
  process.exitCode = 1
}
