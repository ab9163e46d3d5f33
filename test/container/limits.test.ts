import { type Limits, limitsOf, type Resource } from 'cofferdam/process'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  shell,
} from '../support/index.js'
import { observe, tool } from '../support/observed.js'

const nothingLeft = await rememberTraces()

t.test('limits, all sixteen', needsRoot, async t => {
  const limits: Record<Resource, [number, number]> = {
    cpu: [100, 200],
    fsize: [1 << 20, 2 << 20],
    data: [1 << 30, 2 ** 31],
    stack: [1 << 20, 2 << 20],
    core: [0, 4096],
    rss: [1 << 28, 1 << 29],
    nproc: [50, 60],
    nofile: [64, 128],
    memlock: [4096, 8192],
    as: [2 ** 32, 2 ** 33],
    locks: [10, 20],
    sigpending: [30, 40],
    msgqueue: [1000, 2000],
    nice: [0, 0],
    rtprio: [0, 0],
    rttime: [100_000, 200_000],
  }
  const rlimits: Limits = {}
  for (const [name, [soft, hard]] of Object.entries(limits))
    rlimits[name as Resource] = { soft, hard }
  await observe(overHost(), { rlimits }, async (pid, box) => {
    const expected = Object.fromEntries(
      Object.entries(limits).map(([name, [soft, hard]]) => [name, { soft, hard }]),
    )
    t.same(limitsOf(pid), expected, 'from outside, by proc')
    for (const [name, [soft, hard]] of Object.entries(limits))
      t.equal(
        tool('prlimit', '--noheadings', '--raw', '--output=SOFT,HARD', `--${name}`, `--pid=${pid}`),
        `${soft} ${hard}`,
        `${name}, by prlimit`,
      )
    const inside = await box.exec(['sh', '-c', 'ulimit -Sn; ulimit -Hn; ulimit -Sc'], {
      rlimits: { RLIMIT_NOFILE: { soft: 10, hard: 11 }, core: 512 },
    })
    t.equal(await inside.stdout.text(), '10\n11\n1\n', 'from inside, of one that joins')
  })
  t.equal(await shell(overHost(), 'ulimit -n', { rlimits: { nofile: 77 } }), '77')
  t.equal(await shell(overHost(), 'ulimit -s', { rlimits: { stack: '1MiB' } }), '1024')
  const unlimited = await shell(overHost(), 'ulimit -c', {
    rlimits: { core: limitsOf('self').core?.hard === 'unlimited' ? 'unlimited' : 1024 },
  })
  t.match(unlimited, /^(unlimited|2)$/)
})

t.test('limits have their effect, and hold up nothing before', needsRoot, async t => {
  // init can do without what a program can't: its loader opens libraries.
  const passed = await run(overHost(), ['sh'], {
    rlimits: { nofile: 3 },
    stdio: ['ignore', 'pipe', 'pipe', 'ignore', { file: '/dev/null' }],
  })
  t.match(passed, { stderr: /shared libraries/, exitCode: 127 })
  const large = await run(
    overHost(),
    ['sh', '-c', 'head -c 5000 /dev/zero > /large; wc -c /large'],
    {
      rlimits: { fsize: 4096 },
    },
  )
  t.equal(large.stdout, '4096 /large\n')
  const cpu = await run(overHost(), ['sh', '-c', 'while :; do :; done'], { rlimits: { cpu: 1 } })
  t.match(cpu.signal, /^SIG(KILL|XCPU)$/)
  for (const init of [false, true]) {
    const options = { user: 54321, rlimits: { nproc: 2 }, init }
    const forks = await run(overHost(), ['sh', '-c', 'sleep 1 & sleep 1 & sleep 1 & wait'], options)
    t.match(forks.stderr, /Cannot fork/, `init: ${init}`)
  }
})

t.test('limits that can not be', needsRoot, async t => {
  const raised = { nofile: { soft: 1024, hard: 2 ** 40 } }
  await t.rejects(run(overHost(), ['true'], { rlimits: raised }), {
    name: 'CofferdamError',
    code: 'EPERM',
    syscall: 'prlimit64',
    step: 'rlimits',
    hint: /CAP_SYS_RESOURCE/,
  })
  await using busy = await overHost().create()
  await busy.start(['sleep', '60'], { stdio: 'ignore', user: 54322 })
  await t.rejects(busy.exec(['true'], { user: 54322, rlimits: { nproc: 0 } }), {
    code: 'EAGAIN',
    syscall: 'execve',
    hint: /RLIMIT_NPROC/,
  })
  const crowded = { user: 54322, rlimits: { nproc: 0 }, init: true }
  await t.rejects(run(overHost(), ['true'], crowded), {
    code: 'EAGAIN',
    syscall: 'clone3',
    step: 'init',
    hint: /RLIMIT_NPROC/,
  })
  for (const resource of ['as', 'data'] as const)
    await t.rejects(run(overHost(), ['true'], { rlimits: { [resource]: 0 } }), {
      code: 'ENOMEM',
      step: 'exec',
      hint: /RLIMIT_AS/,
    })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
