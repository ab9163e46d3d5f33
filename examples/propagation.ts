// Which mounts are heard of where: node out/examples/propagation.js
//
// Mounts have propagation, mount_namespaces(7). A stage of its own, a container that
// shares all but its mounts, has one directory that is mounted at several places, each
// with another propagation. Something is mounted below the original: who sees it? And
// below each copy: does the original see that?
import { bind, CofferdamError, Container, mounts, tmpfs } from 'cofferdam'

const STAGE = '/mnt'
const copies = ['shared', 'slave', 'private'] as const

async function main(): Promise<void> {
  // Its own mount namespace: nothing of this is seen on the host.
  await using stage = await new Container().isolate('mount').create()
  await stage.start(['sleep', '60'], { stdio: 'ignore' })
  const namespace = { pid: stage.pid as number }
  const apply = (...sequence: mounts.Mount[]) => mounts.apply(sequence, { namespace })
  const isMounted = async (path: string) => {
    const look = await stage.exec(['mountpoint', '-q', `${STAGE}/${path}`])
    return (await look.exited).exitCode === 0
  }

  await apply(
    tmpfs(STAGE),
    tmpfs(`${STAGE}/original`, { propagation: 'shared' }),
    ...['new', ...copies].map(name => mounts.directory(`${STAGE}/original/from-${name}`)),
  )
  // A copy of a shared mount is its peer, until it is told to be something else.
  for (const propagation of copies)
    await apply(bind(`${STAGE}/original`, `${STAGE}/${propagation}`, { propagation }))

  console.log('mounted below the original; it is seen below')
  await apply(tmpfs(`${STAGE}/original/from-new`))
  for (const copy of copies)
    console.log(
      `  the ${copy.padEnd(8)} copy  ${(await isMounted(`${copy}/from-new`)) ? 'yes' : 'no'}`,
    )

  console.log('\nmounted below a copy; it is seen below the original')
  for (const copy of copies) {
    await apply(tmpfs(`${STAGE}/${copy}/from-${copy}`))
    const seen = await isMounted(`original/from-${copy}`)
    console.log(`  the ${copy.padEnd(8)} copy  ${seen ? 'yes' : 'no'}`)
  }

  console.log('\nunbindable: it can not be copied')
  await apply(tmpfs(`${STAGE}/alone`, { propagation: 'unbindable' }))
  try {
    await apply(bind(`${STAGE}/alone`, `${STAGE}/copy`))
  } catch (error) {
    console.log(`  ${(error as CofferdamError).syscall}: ${(error as CofferdamError).code}`)
  }

  console.log('\nas the kernel has it')
  const table = await mounts.list(namespace.pid)
  for (const { mountPoint, propagation } of table) {
    if (!mountPoint.startsWith(`${STAGE}/`)) continue
    const { shared, master, unbindable } = propagation
    const words = [
      shared === undefined ? '' : `peer of group ${shared}`,
      master === undefined ? '' : `slave of group ${master}`,
      unbindable ? 'unbindable' : '',
    ]
    console.log(`  ${mountPoint.padEnd(28)} ${words.filter(Boolean).join(', ') || 'private'}`)
  }
}

try {
  await main()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
