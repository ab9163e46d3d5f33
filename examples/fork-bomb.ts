// A program that only makes more of itself, stopped: node out/examples/fork-bomb.js
//
// pids.max is how many processes and threads a group may have. Beyond it fork(2) fails
// with EAGAIN, and only in the group: the machine has its pids for others. To get rid of
// the bomb, killing one by one is too slow, since each makes another: the kernel kills
// all of a group at once (cgroup.kill), or they are stopped first.
import { CofferdamError, namespaces } from 'cofferdam'
import { Cgroup } from 'cofferdam/cgroups'

// Each makes another every hundredth of a second, and so does that.
const BOMB = ['perl', '-e', 'while (1) { fork; select(undef, undef, undef, 0.01) }']

async function contain(): Promise<void> {
  // When it is disposed of, all in it are killed, and waited for.
  await using group = await Cgroup.create('fork-bomb', { limits: { pids: 30 } })
  await namespaces.spawn(BOMB, { cgroup: group, stdio: 'ignore' })
  let most = 0
  let refused = 0
  while (refused < 100) {
    await new Promise(resolve => setTimeout(resolve, 20))
    const { pids } = await group.stats()
    most = Math.max(most, pids?.current ?? 0)
    refused = pids?.limitHits ?? 0
  }
  console.log(`at most ${most} processes of 30; one more was refused over 100 times`)

  const other = await namespaces.spawn(['echo', 'others are not disturbed'])
  process.stdout.write((await other.stdout.text()) ?? '')
}

try {
  await contain()
  console.log('killed whole, and the group is gone')
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
