// The four ways of the namespace API, each kind in turn: node out/examples/namespaces.js
//
// A namespace is what a process sees of something that the kernel has. clone(2)
// makes a process in new ones, setns(2) joins those of another, unshare(2) leaves
// for new ones, and /proc/PID/ns says which is whose. namespaces(7)
import { readlinkSync } from 'node:fs'
import { CofferdamError, namespaces } from 'cofferdam'

const kinds: namespaces.NamespaceKind[] = [
  'uts',
  'pid',
  'network',
  'mount',
  'ipc',
  'user',
  'cgroup',
  'time',
]

/** Who is not root needs a user namespace first, and is root in it. user_namespaces(7) */
const withUser = (some: namespaces.NamespaceKind[]): namespaces.NamespaceKind[] =>
  process.geteuid?.() === 0 || some.includes('user') ? some : ['user', ...some]

/** What of each kind a program can see: a line of shell that prints it. */
const looks: Record<namespaces.NamespaceKind, string> = {
  uts: 'hostname',
  pid: 'echo "process $$"',
  network: 'echo $(($(wc -l < /proc/net/dev) - 2)) interfaces',
  mount: 'echo $(wc -l < /proc/self/mountinfo) mounts',
  ipc: 'echo "$(ipcs -q | grep -c ^0x) message queues"',
  user: `echo "user $(id -u) of $(awk '{ print $3 }' /proc/self/uid_map)"`,
  cgroup: 'readlink /proc/self/ns/cgroup',
  time: 'echo "up for $(($(cut -d. -f1 /proc/uptime) / 86400)) days"',
}

/** What the first process does to see that its namespace is its own. */
const changes: Partial<Record<namespaces.NamespaceKind, string>> = {
  uts: 'hostname inside',
  mount: 'mount -t tmpfs none /tmp',
  ipc: 'ipcmk -Q > /dev/null',
}

async function look(script: string, options: namespaces.SpawnOptions = {}): Promise<string> {
  const child = await namespaces.spawn(['sh', '-c', script], { ...options, stdio: 'pipe' })
  child.stdin.end()
  const text = await child.stdout.text()
  await child.exited
  return text.trim()
}

const number = (kind: namespaces.NamespaceKind, of?: namespaces.NamespaceReference) =>
  `${namespaces.identify(kind, of).inode}`

const row = (...cells: string[]) =>
  console.log(
    cells
      .map(cell => cell.padEnd(26))
      .join('')
      .trimEnd(),
  )

async function newAndJoined(): Promise<void> {
  row('clone and setns', 'here', 'in a new one', 'another one joins')
  for (const kind of kinds) {
    const [change = ':', script] = [changes[kind], looks[kind]]
    const first = await namespaces.spawn(['sh', '-c', `${change}; ${script}; cat`], {
      unshare: withUser([kind]),
      ...(kind === 'time' ? { timeOffsets: { boottime: '1000d' } } : {}),
    })
    const lines = first.stdout.lines()
    const inside = (await lines.next()).value ?? ''
    // A user namespace gives the right to join what belongs to it.
    const join = namespaces.namespacesOf(first, withUser([kind]))
    row(`  ${kind}`, await look(script), inside, await look(script, { join }))
    first.stdin.end()
    await first.exited
  }
}

async function left(): Promise<void> {
  console.log('\nunshare: a process that is there already leaves for new ones, and goes on')
  // A step is done by the process itself, before it becomes the program.
  const leave = (kind: namespaces.NamespaceKind) => ({
    ...(process.geteuid?.() === 0 ? {} : { unshare: ['user'] as const }),
    steps: [namespaces.unshare([kind])],
  })
  console.log('  host name:      ', await look('hostname after; hostname', leave('uts')))
  console.log('  and still here: ', await look('hostname'))
  // The exception: nobody's pid changes, so it is the children who are in it.
  // Its first child is process 1 there, and when that ends there are no more.
  const pids = `echo "itself process $$"; sh -c 'echo "its child process $$"'; :`
  const [itself, child] = (await look(pids, leave('pid'))).split('\n')
  console.log(`  PID namespace:   ${itself}, ${child}`)
}

async function looked(): Promise<void> {
  console.log('\n/proc/PID/ns: which is whose')
  const child = await namespaces.spawn(['cat'], { unshare: withUser(['uts', 'network']) })
  for (const kind of ['uts', 'network', 'mount'] as const) {
    const path = namespaces.pathOf(kind, child.pid)
    const same = namespaces.same(kind, child) ? 'the same as here' : `here ${number(kind)}`
    console.log(`  ${path} is ${readlinkSync(path)}, ${same}`)
  }
  using owner = namespaces.ownerOf('network', child)
  const who = owner && namespaces.ownerUid(owner)
  console.log(`  the network belongs to a user namespace made by user ${who}`)

  // An open descriptor keeps it when nobody is in it any more.
  using kept = namespaces.open('network', child)
  const before = number('network', child)
  child.stdin.end()
  await child.exited
  const devices = await namespaces.run(
    owner && process.geteuid?.() !== 0 ? { user: owner, network: kept } : { network: kept },
    namespaces.readText('/proc/net/dev'),
  )
  console.log(
    `  its process has ended, and ${before === number('network', kept) ? 'it is still there' : '?'}:`,
  )
  console.log(`  ${devices.trim().split('\n').length - 2} interface in it`)
  const all = await namespaces.list({ kinds: ['network'], descriptors: true })
  const entry = all.find(({ inode }) => `${inode}` === before)
  console.log(`  kept by this program alone: ${entry?.openIn.includes(process.pid) === true}`)
}

try {
  await newAndJoined()
  await left()
  await looked()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
