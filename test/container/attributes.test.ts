import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Container, type StartOptions } from 'cofferdam'
import { oomScoreAdjustOf } from 'cofferdam/process'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  program,
  rememberTraces,
  run,
  scratch,
  shell,
  until,
} from '../support/index.js'
import { both, file, inUserNamespace, observe, tool } from '../support/observed.js'
import { asUser } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()

t.test('OOM score', needsContainers, async t => {
  await both(t, 'cat /proc/self/oom_score_adj', { oomScoreAdjust: 321 }, '321')
  await observe(overHost(), { oomScoreAdjust: 234, init: true }, async (pid, box) => {
    t.equal(oomScoreAdjustOf(pid), 234)
    t.match(tool('choom', '--pid', `${pid}`), /adjust value: 234/)
    const children = (await box.processes()).map(process => process.pid)
    for (const child of children) t.equal(file(child, 'oom_score_adj'), '234', 'its child too')
  })
})

t.test('OOM score in a user namespace, and a lower one', needsRoot, async t => {
  t.equal(
    await shell(inUserNamespace(), 'cat /proc/self/oom_score_adj', { oomScoreAdjust: 3 }),
    '3',
  )
  const low = { oomScoreAdjust: -500 }
  const mayLower =
    (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(file(process.pid, 'status'))?.[1]}`) >> 24n) & 1n
  if (mayLower) return t.equal(await shell(overHost(), 'cat /proc/1/oom_score_adj', low), '-500')
  const refused = { code: 'EACCES', syscall: 'write', step: 'OOM score', hint: /CAP_SYS_RESOURCE/ }
  await t.rejects(run(overHost(), ['true'], low), refused)
  await using box = await overHost().create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  await t.rejects(box.exec(['true'], low), refused)
  t.equal(box.status, 'running')
})

t.test('OOM score of one that joins a container with a proc of lies', needsRoot, async t => {
  await using box = await overHost().capabilities(['SYS_ADMIN', 'DAC_OVERRIDE']).create()
  const lie = `mount -t tmpfs none /proc && mkdir -p /proc/self && echo 1 > /proc/self/oom_score_adj &&
    echo ready && exec cat`
  const main = await box.start(['sh', '-c', lie])
  for await (const line of main.stdout.lines()) if (line === 'ready') break
  const joined = await box.exec(['sh', '-c', 'cat /proc/self/oom_score_adj; exec cat'], {
    oomScoreAdjust: 44,
  })
  for await (const line of joined.stdout.lines()) {
    t.equal(line, '1', 'it was not written to')
    break
  }
  t.equal(oomScoreAdjustOf(joined.pid), 44)
})

t.test('memory policy', needsContainers, async t => {
  const maps = 'cut -d" " -f2 /proc/self/numa_maps | sort -u'
  await both(t, maps, { memoryPolicy: { mode: 'bind', nodes: '0' } }, /^bind:0$/)
  for (const mode of ['preferred', 'interleave', 'preferred-many'] as const)
    await observe(overHost(), { memoryPolicy: { mode, nodes: [0] } }, pid => {
      const expected = mode === 'preferred-many' ? /^prefer \(many\):0/ : /^(prefer|interleave):0/
      t.match(
        file(pid, 'numa_maps')
          .split('\n')
          .map(line => line.slice(line.indexOf(' ') + 1))[0],
        expected,
        mode,
      )
    })
  await observe(overHost(), { memoryPolicy: { mode: 'local' } }, pid =>
    t.match(file(pid, 'numa_maps'), /^\w+ local /),
  )
  await observe(
    overHost(),
    { memoryPolicy: { mode: 'bind', nodes: [0], flags: ['static-nodes'] } },
    pid => t.match(file(pid, 'numa_maps'), /^\w+ bind=static:0 /),
  )
  await observe(
    overHost(),
    { memoryPolicy: { mode: 'interleave', nodes: '0', flags: ['relative-nodes'] } },
    pid => t.match(file(pid, 'numa_maps'), /^\w+ interleave=relative:0 /),
  )
  t.match(
    await shell(overHost(), 'numactl --show', { memoryPolicy: { mode: 'bind', nodes: '0' } }),
    /^policy: bind/,
  )
  await t.rejects(run(overHost(), ['true'], { memoryPolicy: { mode: 'bind', nodes: [63] } }), {
    code: 'EINVAL',
    syscall: 'set_mempolicy',
    step: 'memory policy',
    hint: /nodes/,
  })
})

t.test('personality', needsContainers, async t => {
  await both(t, 'uname -m', { personality: { domain: 'linux32' } }, /^(i686|armv8l)$/)
  const flags = ['addr-no-randomize', 'addr-compat-layout'] as const
  const { PATH } = process.env
  const expected = execFileSync('setarch', ['-RL', 'cat', '/proc/self/personality'], {
    env: { PATH },
  })
  await observe(overHost(), { personality: { flags } }, pid =>
    t.equal(file(pid, 'personality'), `${expected}`.trim()),
  )
  const stack = 'grep stack /proc/self/maps'
  const options = { personality: { flags } }
  t.equal(await shell(overHost(), stack, options), await shell(overHost(), stack, options))
})

t.test(
  'session keyring: one of its own, a named one, or that of this program',
  needsRoot,
  async t => {
    const show = 'keyctl show @s | tail -n +2'
    const ours = tool('keyctl', 'show', '@s')
    const anonymous = await shell(overHost(), show)
    t.match(anonymous, /keyring: _ses$/)
    t.notMatch(ours, anonymous.trim().split(' ')[0] as string)

    const name = `cofferdam-test-${process.pid}`
    await using box = await overHost().create()
    const keyring = { name }
    await box.start(['sleep', '60'], { stdio: 'ignore', keyring })
    const say = async (script: string, options: StartOptions = {}) => {
      const { stdout, stderr } = await box.exec(['sh', '-c', script], { ...options, stdio: 'pipe' })
      return (await stdout.text()) + (await stderr.text())
    }
    t.match(await say('keyctl add user secret value @s', { keyring }), /^\d+\n$/)
    t.equal(await say('keyctl print $(keyctl search @s user secret)', { keyring }), 'value\n')
    t.match(await say('keyctl search @s user secret'), /Required key not available/)
    t.match(
      await shell(overHost(), show, { keyring }),
      new RegExp(`keyring: ${name}`),
      'on request',
    )
    t.match(
      await shell(inUserNamespace(), 'keyctl search @s user secret 2>&1 || true', { keyring }),
      /Required key not available/,
      'another user namespace has other names',
    )

    const inherits = overHost().process({
      argv: ['sh', '-c', 'keyctl show @s'],
      keyring: 'inherit',
    })
    await using other = await inherits.create()
    const serial = (text: string) => /^ *(\d+)/m.exec(text)?.[1]
    const main = await other.start(['sh', '-c', 'keyctl show @s; cat'])
    let shown = ''
    for await (const line of main.stdout.lines()) {
      shown += `${line}\n`
      if (/keyring/.test(line) && serial(shown) !== undefined) break
    }
    t.equal(serial(shown), serial(ours))
    const joined = await other.exec(['keyctl', 'show', '@s'])
    t.equal(serial(await joined.stdout.text()), serial(ours), 'exec() too')
    const apart = await other.exec(['keyctl', 'show', '@s'], { keyring: 'new' })
    t.not(serial(await apart.stdout.text()), serial(ours), 'unless it says otherwise')
    const asked = await box.exec(['keyctl', 'show', '@s'], { keyring: 'inherit' })
    t.equal(serial(await asked.stdout.text()), serial(ours))
    t.not(serial(await shell(inherits, 'keyctl show @s', { keyring: 'new' })), serial(ours))
    await t.rejects(run(overHost(), ['true'], { keyring: 'inherit' }), {
      code: 'ERR_CONFLICT',
      option: 'keyring',
    })
  },
)

const onX64 =
  process.arch === 'x64' ? needsContainers : { skip: 'asks by the number of a system call' }
const deathSignal =
  'exec perl -e \'my $n = pack("i", 0); syscall(157, 2, $n); print unpack("i", $n)\''

t.test('parent-death signal', onX64, async t => {
  t.equal(await shell(overHost(), deathSignal), '9')
  t.equal(await shell(overHost(), deathSignal, { parentDeathSignal: 'SIGKILL' }), '9')
  t.equal(await shell(overHost(), deathSignal, { parentDeathSignal: 'SIGTERM', init: true }), '15')
  t.equal(await shell(overHost(), deathSignal, { parentDeathSignal: 'none', init: true }), '0')
  await using box = await overHost().create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  for (const [parentDeathSignal, number] of [
    ['SIGUSR1', '10'],
    ['none', '0'],
  ] as const)
    for (const user of process.getuid?.() === 0 ? [0, 1000] : [0]) {
      const joined = await box.exec(['sh', '-c', deathSignal], { parentDeathSignal, user })
      t.equal(await joined.stdout.text(), number)
    }
  // The container's end with this program would be in the program's hands.
  const refused = { code: 'ERR_CONFLICT', option: 'parentDeathSignal' }
  for (const parentDeathSignal of ['SIGTERM', 'none'] as const) {
    await t.rejects(run(overHost(), ['true'], { parentDeathSignal }), refused)
    await t.rejects(run(new Container().isolate('uts'), ['true'], { parentDeathSignal }), refused)
  }
})

t.test('parent-death signal of one that belongs to nobody, and its effect', onX64, async t => {
  const stateFolder = scratch(t)
  const released = () => overHost().create({ lifetime: 'released', stateFolder })
  for (const [parentDeathSignal, number] of [
    [undefined, '0'],
    ['SIGUSR2', '12'],
    ['SIGKILL', '9'],
  ] as const) {
    await using box = await released()
    const main = await box.start(['sh', '-c', deathSignal], {
      ...(parentDeathSignal === undefined ? {} : { parentDeathSignal }),
      stdio: 'pipe',
    })
    t.equal(await main.stdout.text(), number, `${parentDeathSignal}`)
  }
  await using box = await overHost().create({ lifetime: 'detached', stateFolder })
  await t.rejects(box.start(['true'], { parentDeathSignal: 'SIGTERM' }), {
    code: 'ERR_CONFLICT',
    option: 'parentDeathSignal',
  })
  // Another program sends one in, which hears of that one's end.
  const main = await box.start(['cat'])
  const told = 'trap "echo heard > /tmp/told; exit" TERM; echo ready; while :; do sleep 0.05; done'
  await program(
    stateFolder,
    `const box = await Container.load('${box.id}', state)
    const options = { parentDeathSignal: 'SIGTERM' }
    const joined = await box.exec(['sh', '-c', ${JSON.stringify(told)}], options)
    for await (const line of joined.stdout.lines()) if (line === 'ready') process.exit()`,
  )
  t.ok(await until(() => existsSync(`/proc/${main.pid}/root/tmp/told`)), 'it was told')
})

t.test('an ordinary user’s', needsRoot, async t => {
  const said = await asUser(
    t,
    `const options = {
      nice: 3, rlimits: { nofile: 50 }, oomScoreAdjust: 7, affinity: '0', keyring: { name: 'mine' },
      ioPriority: { class: 'idle' }, scheduler: { policy: 'batch' },
    }
    const script = 'nice; ulimit -n; cat /proc/self/oom_score_adj; nproc; ionice; keyctl show @s | tail -1'
    say(await sh(overHost(), script, options))
    const box = await overHost().create()
    await box.start(['sleep', '60'], { stdio: 'ignore' })
    const joined = await box.exec(['sh', '-c', script], options)
    say((await joined.stdout.text()).trim())
    await box.delete()
    for (const wrong of [
      { nice: -1 }, { rlimits: { nofile: 2 ** 40 } }, { scheduler: { policy: 'rr', priority: 1 } },
      { ioPriority: { class: 'real-time' } }, { oomScoreAdjust: -1 },
    ])
      await run(overHost(), ['true'], wrong).then(() => say('worked'), error => say(told(error)))
    say(await sh(overHost().domainname('mine.test').sysctls({ 'net.ipv4.ip_forward': 1 }),
      'cat /proc/sys/net/ipv4/ip_forward; domainname'))`,
  )
  const [started, joined] = said as string[]
  t.match(started, /^3\n50\n7\n1\nidle\n.*keyring: mine$/)
  t.match(joined, /^3\n50\n7\n1\nidle\n.*keyring: mine$/)
  t.match(said.slice(2), [
    { code: 'EACCES', syscall: 'setpriority', hint: /CAP_SYS_NICE/ },
    { code: 'EPERM', syscall: 'prlimit64', hint: /CAP_SYS_RESOURCE/ },
    { code: 'EPERM', syscall: 'sched_setscheduler', hint: /CAP_SYS_NICE/ },
    { code: 'EPERM', syscall: 'ioprio_set', hint: /CAP_SYS_NICE/ },
    { code: 'EACCES', syscall: 'write', step: 'OOM score', hint: /CAP_SYS_RESOURCE/ },
    '1\nmine.test',
  ])
})

t.test('a container that outlives its maker has them too', needsContainers, async t => {
  const stateFolder = scratch(t)
  const script = 'nice; ulimit -n; cat /proc/self/oom_score_adj; chrt -p $$ | head -1'
  const options = {
    nice: 4,
    rlimits: { nofile: 99 },
    oomScoreAdjust: 56,
    scheduler: { policy: 'batch' },
  } as const
  for (const lifetime of ['detached', 'released'] as const) {
    await using box = await overHost()
      .process({ argv: ['sh', '-c', `${script}; sleep 60`], ...options })
      .create({ lifetime, stateFolder })
    const main = await box.start()
    const lines: string[] = []
    for await (const line of main.stdout.lines()) if (lines.push(line) === 4) break
    const expected = [/^4$/, /^99$/, /^56$/, /SCHED_BATCH/]
    t.match(lines, expected, lifetime)
    const joined = await (await Container.load(box.id, { stateFolder })).exec(['sh', '-c', script])
    t.match((await joined.stdout.text()).split('\n'), expected, `${lifetime}, exec()`)
  }
})

t.test('what can not be is refused before anything is done', needsContainers, async t => {
  const wrong: [Record<string, unknown>, string, string?][] = [
    [{ rlimits: { files: 1 } }, 'rlimits.files'],
    [{ rlimits: { RLIMIT_nofile: 1 } }, 'rlimits.RLIMIT_nofile'],
    [{ rlimits: { nofile: -1 } }, 'rlimits.nofile'],
    [{ rlimits: { nofile: '10' } }, 'rlimits.nofile'],
    [{ rlimits: { nofile: 1.5 } }, 'rlimits.nofile'],
    [{ rlimits: { nofile: { soft: 2, hard: 1 } } }, 'rlimits.nofile.soft'],
    [{ rlimits: { nofile: { soft: 'unlimited', hard: 1 } } }, 'rlimits.nofile.soft'],
    [{ rlimits: { nofile: { soft: 1 } } }, 'rlimits.nofile.hard'],
    [{ rlimits: { nofile: { soft: 1, hard: 1, max: 1 } } }, 'rlimits.nofile.max'],
    [{ rlimits: { nofile: 1, RLIMIT_NOFILE: 1 } }, 'rlimits.RLIMIT_NOFILE'],
    [{ rlimits: [] }, 'rlimits'],
    [{ oomScoreAdjust: 1001 }, 'oomScoreAdjust'],
    [{ oomScoreAdjust: '5' }, 'oomScoreAdjust'],
    [{ nice: 20 }, 'nice'],
    [{ nice: -21 }, 'nice'],
    [{ scheduler: { policy: 'fast' } }, 'scheduler.policy'],
    [{ scheduler: { policy: 'fifo' } }, 'scheduler.priority'],
    [{ scheduler: { policy: 'fifo', priority: 100 } }, 'scheduler.priority'],
    [{ scheduler: { policy: 'other', priority: 1 } }, 'scheduler.priority', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'rr', priority: 1, nice: 1 } }, 'scheduler.nice', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'batch', runtime: 1 } }, 'scheduler.runtime', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'deadline', runtime: 1 } }, 'scheduler.deadline'],
    [{ scheduler: { policy: 'deadline', runtime: 0.001, deadline: 1 } }, 'scheduler.runtime'],
    [{ scheduler: { policy: 'deadline', runtime: 2, deadline: 1 } }, 'scheduler.deadline'],
    [{ scheduler: { policy: 'deadline', runtime: 1, deadline: 2, period: 1 } }, 'scheduler.period'],
    [{ scheduler: { policy: 'batch', flags: ['reclaim'] } }, 'scheduler.flags', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'batch', flags: ['x'] } }, 'scheduler.flags'],
    [{ scheduler: { policy: 'batch', nice: 1 }, nice: 2 }, 'nice', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'idle' }, nice: 2 }, 'nice', 'ERR_CONFLICT'],
    [{ scheduler: { policy: 'batch', prio: 1 } }, 'scheduler.prio'],
    [{ ioPriority: { class: 'fast' } }, 'ioPriority.class'],
    [{ ioPriority: { class: 'best-effort', level: 8 } }, 'ioPriority.level'],
    [{ ioPriority: { class: 'best-effort', level: null } }, 'ioPriority.level'],
    [{ ioPriority: { class: 'idle', level: 1 } }, 'ioPriority.level', 'ERR_CONFLICT'],
    [{ affinity: '' }, 'affinity'],
    [{ affinity: [] }, 'affinity'],
    [{ affinity: '1-' }, 'affinity'],
    [{ affinity: [-1] }, 'affinity'],
    [{ affinity: { setup: 'x' } }, 'affinity.setup'],
    [{ affinity: { program: '0' } }, 'affinity.program'],
    [{ memoryPolicy: { mode: 'far' } }, 'memoryPolicy.mode'],
    [{ memoryPolicy: { mode: 'bind' } }, 'memoryPolicy.nodes'],
    [{ memoryPolicy: { mode: 'local', nodes: '0' } }, 'memoryPolicy.nodes', 'ERR_CONFLICT'],
    [{ memoryPolicy: { mode: 'bind', nodes: '0', flags: ['x'] } }, 'memoryPolicy.flags'],
    [
      { memoryPolicy: { mode: 'bind', nodes: '0', flags: ['static-nodes', 'relative-nodes'] } },
      'memoryPolicy.flags',
      'ERR_CONFLICT',
    ],
    [{ personality: { domain: 'windows' } }, 'personality.domain'],
    [{ personality: { flags: ['x'] } }, 'personality.flags'],
    [{ keyring: 'mine' }, 'keyring'],
    [{ keyring: { name: '.dot' } }, 'keyring.name'],
    [{ keyring: { name: '' } }, 'keyring.name'],
    [{ keyring: { id: 1 } }, 'keyring.id'],
    [{ parentDeathSignal: 'SIGNOT' }, 'parentDeathSignal'],
    [
      { init: true, scheduler: { policy: 'deadline', runtime: 1, deadline: 2 } },
      'scheduler.policy',
      'ERR_CONFLICT',
    ],
    [
      { init: true, scheduler: { policy: 'batch', flags: ['reset-on-fork'] } },
      'scheduler.flags',
      'ERR_CONFLICT',
    ],
  ]
  await using box = await overHost().create()
  for (const [options, option, code = 'ERR_INVALID_OPTION'] of wrong)
    await t.rejects(
      box.start(['true'], options as StartOptions),
      { name: 'CofferdamError', code, option },
      JSON.stringify(options),
    )
  t.equal(box.status, 'created', 'and the container is none the worse')
  t.throws(() => new Container().process({ argv: ['x'], nice: 99 }), {
    name: 'CofferdamError',
    option: 'nice',
  })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
