import { affinityOf, schedulingOf } from 'cofferdam/process'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  shell,
} from '../support/index.js'
import { both, inUserNamespace, observe, tool } from '../support/observed.js'

const nothingLeft = await rememberTraces()

t.test('nice value', needsContainers, async t => {
  await both(t, 'nice', { nice: 9 }, '9')
  await observe(overHost(), { nice: 11 }, async pid => {
    t.same(schedulingOf(pid), { policy: 'other', priority: 0, nice: 11 })
    t.equal(tool('ps', '-o', 'ni=', '-p', `${pid}`), '11')
  })
})

t.test('a lower nice value is root’s', needsRoot, async t => {
  t.equal(await shell(overHost(), 'nice', { nice: -5, user: 1000 }), '-5')
  t.equal(await shell(overHost(), 'nice', { scheduler: { policy: 'other', nice: -6 } }), '-6')
  t.equal(await shell(overHost(), 'nice', { nice: -4, scheduler: { policy: 'batch' } }), '-4')
  await t.rejects(run(inUserNamespace(), ['true'], { nice: -5 }), {
    code: 'EACCES',
    syscall: 'setpriority',
    step: 'nice',
    hint: /CAP_SYS_NICE/,
  })
})

t.test('scheduling policies', needsContainers, async t => {
  await both(t, 'chrt -p $$', { scheduler: { policy: 'batch' } }, /SCHED_BATCH/)
  await both(t, 'chrt -p $$', { scheduler: { policy: 'idle' } }, /SCHED_IDLE/)
  await observe(overHost(), { scheduler: { policy: 'batch', nice: 3 } }, pid =>
    t.same(schedulingOf(pid), { policy: 'batch', priority: 0, nice: 3 }),
  )
})

t.test('real-time policies, deadlines, and what children have', needsRoot, async t => {
  const scheduler = { policy: 'rr', priority: 7 } as const
  await both(t, 'chrt -p $$', { scheduler }, /SCHED_RR[\s\S]*priority: 7/)
  await both(
    t,
    'chrt -p $$',
    { scheduler: { policy: 'fifo', priority: 99 } },
    /SCHED_FIFO[\s\S]*99/,
  )
  await observe(overHost(), { scheduler, user: 1000, init: true }, async (pid, box) => {
    t.same(schedulingOf(pid), { policy: 'rr', priority: 7, nice: 0 })
    for (const process of await box.processes())
      t.match(tool('chrt', '-p', `${process.pid}`), /SCHED_RR/)
  })
  await both(
    t,
    'chrt -p $$; (chrt -p $(exec sh -c "echo \\$PPID"))',
    { scheduler: { ...scheduler, flags: ['reset-on-fork'] } },
    /SCHED_RR\|SCHED_RESET_ON_FORK/,
  )
  const times = { runtime: 5, deadline: '20ms', period: '0.03s' } as const
  const deadline = { policy: 'deadline', ...times } as const
  await observe(overHost(), { scheduler: { ...deadline, flags: ['reclaim'] } }, pid => {
    t.equal(schedulingOf(pid).policy, 'deadline')
    t.match(
      tool('chrt', '-p', `${pid}`),
      /runtime\/deadline\/period parameters: 5000000\/20000000\/30000000/,
    )
  })
  await t.rejects(run(overHost(), ['true'], { scheduler: deadline, affinity: [0] }), {
    code: 'EPERM',
    syscall: 'sched_setattr',
    step: 'scheduler',
    hint: /all processors/,
  })
  await t.rejects(run(inUserNamespace(), ['true'], { scheduler }), {
    code: 'EPERM',
    syscall: 'sched_setscheduler',
    hint: /CAP_SYS_NICE/,
  })
})

t.test('the policy of sched_ext, where the kernel has it', needsRoot, async t => {
  try {
    const printed = await shell(overHost(), 'chrt -p $$', { scheduler: { policy: 'ext' } })
    t.match(printed, /SCHED_EXT|policy: 7/)
  } catch (error) {
    t.match(error, { code: 'EINVAL', step: 'scheduler', hint: /does not have that policy/ })
  }
})

t.test('I/O priority', needsContainers, async t => {
  await both(t, 'ionice', { ioPriority: { class: 'best-effort', level: 6 } }, 'best-effort: prio 6')
  await both(t, 'ionice', { ioPriority: { class: 'idle' } }, 'idle')
  await observe(overHost(), { ioPriority: { class: 'best-effort', level: 1 } }, pid =>
    t.equal(tool('ionice', '--pid', `${pid}`), 'best-effort: prio 1'),
  )
})

t.test('real-time I/O priority is root’s', needsRoot, async t => {
  const ioPriority = { class: 'real-time', level: 2 } as const
  await both(t, 'ionice', { ioPriority, user: 1000 }, 'realtime: prio 2')
  await t.rejects(run(inUserNamespace(), ['true'], { ioPriority }), {
    code: 'EPERM',
    syscall: 'ioprio_set',
    step: 'I/O priority',
  })
})

const twoCpus = affinityOf('self').length > 1 ? needsContainers : { skip: 'needs two processors' }

t.test('affinity of the program', twoCpus, async t => {
  const [first, second] = affinityOf('self') as [number, number]
  await both(t, 'taskset -cp $$ | cut -d: -f2', { affinity: `${second}` }, `${second}`)
  await both(t, 'nproc', { affinity: [first] }, '1')
  await observe(overHost(), { affinity: { workload: [second] } }, pid => {
    t.same(affinityOf(pid), [second])
    t.match(tool('taskset', '--cpu-list', '--pid', `${pid}`), new RegExp(`: ${second}$`))
  })
  await t.rejects(run(overHost(), ['true'], { affinity: '8000-8191' }), {
    code: 'EINVAL',
    syscall: 'sched_setaffinity',
    step: 'affinity',
    hint: /cpuset/,
  })
})

t.test('affinity of the setup', twoCpus, async t => {
  const [first, second] = affinityOf('self') as [number, number]
  const affinity = { setup: [second], workload: [first] }
  await using box = await overHost()
    .process({ argv: ['cat'], affinity })
    .create()
  t.same(affinityOf(box.pid as number), [second], 'while it is parked')
  const main = await box.start()
  t.same(affinityOf(main.pid), [first])
  const joined = await box.exec(['nproc'], { affinity: { setup: [second] } })
  t.equal(await joined.stdout.text(), '1\n', 'who says nothing else stays there')
  // What it does before it joins is seen where it waits: the plan has it.
  t.match(box.explain(), /affinity of the setup/)
  t.equal(
    await shell(overHost(), 'taskset -cp $$ | cut -d: -f2', { affinity: { setup: [second] } }),
    `${second}`,
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
