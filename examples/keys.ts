// Keys in the kernel, and who can read them: node out/examples/keys.js
//
// keyrings(7): a key is found through the keyrings that a process possesses, of
// which the session keyring is one. Each program in a container gets a new one,
// so that it finds neither the host's keys nor those of others; a name is how
// some of them share one. Names, and users' keyrings, are of a user namespace.
// Needs keyctl(1), of the package keyutils.
import { type Box, CofferdamError, Container, overlay } from 'cofferdam'
import type { Keyring } from 'cofferdam/process'

const isRoot = process.geteuid?.() === 0

const shared = { name: 'house' }

/** With a user namespace, which an ordinary user's has anyway. */
async function make(hostId: number): Promise<Box> {
  const builder = new Container().rootfs(overlay({ lower: ['/'] }))
  const ids = [{ containerId: 0, hostId, size: 65_536 }]
  if (isRoot) builder.idMappings({ uid: ids, gid: ids })
  const box = await builder.create()
  // A keyring lasts as long as somebody has it.
  await box.start(['sleep', '600'], { stdio: 'ignore', keyring: shared })
  return box
}

/** What a script says, at last. */
async function say(box: Box, script: string, keyring: Keyring = 'new'): Promise<string> {
  const { stdout } = await box.exec(['sh', '-c', `(${script}) 2>&1`], { keyring })
  return (await stdout.text()).trim().split('\n').at(-1) ?? ''
}

const FIND = 'keyctl print $(keyctl search @s user secret)'

try {
  await using house = await make(100_000)
  const id = await say(house, 'keyctl add user secret "the cat is hungry" @s', shared)
  console.log(`with the keyring by name:   ${await say(house, FIND, shared)}`)
  console.log(`with one of its own:        ${await say(house, 'keyctl search @s user secret')}`)
  console.log(`by its number:              ${await say(house, `keyctl print ${id}`)}`)

  await using neighbours = await make(200_000)
  console.log(
    `from another container:     ${await say(neighbours, 'keyctl search @s user secret', shared)}`,
  )
  console.log(`by its number, from there:  ${await say(neighbours, `keyctl print ${id}`)}`)

  // The keyring of a user is not that of the same user elsewhere.
  await say(house, 'keyctl add user mine "root of the house" @u')
  const find = 'keyctl link @u @s && keyctl print $(keyctl search @u user mine)'
  console.log(`root's own:                 ${await say(house, find)}`)
  const search = 'keyctl search @u user mine'
  console.log(`root's own, next door:      ${await say(neighbours, search)}`)
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
