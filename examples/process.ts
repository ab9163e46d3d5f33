// What the kernel grants a process, and what a namespace has of its own:
// node out/examples/process.js
//
// A program is told from inside what it has, and this one looks from outside,
// where the kernel says the same of it. All but the last three lines are of the
// process alone and need no namespace; see `cofferdam/process` for the steps.
import { CofferdamError, Container, overlay } from 'cofferdam'
import { affinityOf, limitsOf, oomScoreAdjustOf, schedulingOf } from 'cofferdam/process'

const INSIDE = `
  echo "open files        $(ulimit -n)"
  echo "nice value        $(nice)"
  echo "policy            $(chrt -p $$ | sed -n "1s/.*: //p")"
  echo "I/O priority      $(ionice)"
  echo "processors        $(nproc)"
  echo "OOM score adjust  $(cat /proc/self/oom_score_adj)"
  echo "machine           $(uname -m)"
  echo "domain name       $(cat /proc/sys/kernel/domainname)"
  echo "longest message   $(cat /proc/sys/kernel/msgmax)"
  echo "lowest free port  $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
  exec cat`

/** How many lines it says. */
const LINES = 10

try {
  const [cpu = 0] = affinityOf('self')
  await using box = await new Container()
    .rootfs(overlay({ lower: ['/'] }))
    .domainname('example.test')
    // Each is of a namespace that the container has for itself.
    .sysctls({ 'kernel.msgmax': 65_536, 'net.ipv4.ip_unprivileged_port_start': 80 })
    .create()
  const main = await box.start(['sh', '-c', INSIDE], {
    rlimits: { nofile: 100, core: 0 },
    nice: 5,
    scheduler: { policy: 'batch' },
    ioPriority: { class: 'idle' },
    affinity: [cpu],
    oomScoreAdjust: 500,
    personality: { domain: 'linux32' },
  })
  console.log('from inside')
  let lines = 0
  for await (const line of main.stdout.lines()) {
    console.log(`  ${line}`)
    if (++lines === LINES) break
  }

  console.log('from outside')
  const { policy, nice } = schedulingOf(main.pid)
  console.log(`  open files        ${limitsOf(main.pid).nofile?.soft}`)
  console.log(`  nice value        ${nice}`)
  console.log(`  policy            ${policy}`)
  console.log(`  processors        number ${affinityOf(main.pid).join(', ')}`)
  console.log(`  OOM score adjust  ${oomScoreAdjustOf(main.pid)}`)
  main.stdin.end()
  await main.exited

  // What concerns the whole machine is refused before anything is done.
  try {
    new Container().sysctls({ 'vm.swappiness': 0 })
  } catch (error) {
    console.log(`refused: ${(error as Error).message}`)
  }
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
