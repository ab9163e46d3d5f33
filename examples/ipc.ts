// System V and POSIX message queues, seen and not seen: node out/examples/ipc.js
//
// Both are named for all the machine, and yet no file has that name: whoever is in
// the same IPC namespace finds a queue by its key or name, and nobody else does.
// ipc_namespaces(7), sysvipc(7), mq_overview(7)
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CofferdamError, namespaces } from 'cofferdam'

const folder = mkdtempSync(join(tmpdir(), 'queues-'))
const isRoot = process.geteuid?.() === 0

/** Who is not root is root in a user namespace, to which the others belong. */
const fresh: namespaces.NamespaceKind[] = isRoot ? ['ipc', 'mount'] : ['user', 'ipc', 'mount']

// POSIX queues are the files of a file system of their own, which shows those of the
// namespace that it is mounted in.
const MOUNT = `mount -t mqueue none ${folder}`
const MAKE = `ipcmk -Q > /dev/null; touch ${folder}/orders`
const LOOK = `echo "$(ipcs -q | grep -c ^0x) System V, POSIX: $(ls ${folder} | tr '\\n' ' ')"`

async function look(script: string, options: namespaces.SpawnOptions = {}): Promise<string> {
  const child = await namespaces.spawn(['sh', '-c', script], { ...options, stdio: 'pipe' })
  child.stdin.end()
  const [text] = await Promise.all([child.stdout.text(), child.exited])
  return text.trim()
}

async function main(): Promise<void> {
  console.log('here, before:         ', await look('ipcs -q | grep -c ^0x'), 'System V')
  const shop = await namespaces.spawn(['sh', '-c', `${MOUNT}; ${MAKE}; ${LOOK}; exec cat`], {
    unshare: fresh,
  })
  console.log('where they were made: ', (await shop.stdout.lines().next()).value)
  console.log('here, meanwhile:      ', await look('ipcs -q | grep -c ^0x'), 'System V')
  console.log('in another namespace: ', await look(`${MOUNT}; ${LOOK}`, { unshare: fresh }))
  const joined = namespaces.namespacesOf(shop, fresh)
  console.log('in one that joins:    ', await look(LOOK, { join: joined }))
  // Its mounts are its own, and the queues are those of the namespace.
  const ipc = namespaces.namespacesOf(shop, isRoot ? ['ipc'] : ['user', 'ipc'])
  const apart = { join: ipc, unshare: ['mount'] as const }
  console.log('with other mounts:    ', await look(`${MOUNT}; ${LOOK}`, apart))
  shop.stdin.end()
  await shop.exited
  console.log('here, after the end:  ', await look('ipcs -q | grep -c ^0x'), 'System V')
}

try {
  await main()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmdirSync(folder)
}
