import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { plan } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  runIn,
  scratch,
  shell,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()
const { call, named, slot, step } = plan

t.test('a system call of one’s own, by name and by number', needsContainers, async t => {
  const domain = Buffer.from('example.org')
  const bytes = { bytes: domain, text: '"example.org"' }
  const byName = overHost().step(step('domain', call('setdomainname', [bytes, domain.length])))
  t.equal(await shell(byName, 'cat /proc/sys/kernel/domainname'), 'example.org')

  // prctl(PR_SET_NAME), whose number differs between architectures, so asked for
  const { nativeFacts } = await import('#lib/base/index.js')
  const prctl = nativeFacts().syscalls.prctl as number
  const byNumber = overHost().step(step('name', call(prctl, [15, 'renamed', 0, 0, 0])))
  await using box = await byNumber.create()
  t.equal(readFileSync(`/proc/${box.pid}/comm`, 'utf8'), 'renamed\n')
})

t.test('steps stand where they are put', needsContainers, async t => {
  const builder = overHost()
    .step(step('mine', call('umask', [0])), { after: 'hostname' })
    .step(step('late', call('umask', [0o77])), { half: 'process' })
  const order = builder
    .explain()
    .match(/\d+\. [a-z -]+/g)
    ?.map(title => title.replace(/^\d+\. /, ''))
  t.equal(order?.indexOf('mine'), (order?.indexOf('hostname') ?? 0) + 1)
  t.equal(order?.indexOf('late'), (order?.indexOf('exec') ?? 0) - 1)
  t.equal(await shell(builder, 'umask'), '0077')
  await t.rejects(overHost().step(step('x'), { before: 'no such' }).create(), {
    code: 'ERR_INVALID_OPTION',
    option: 'step',
  })
})

t.test('a step that fails names itself, and nothing is left', needsContainers, async t => {
  await t.rejects(
    overHost()
      .step(step('my step', call('fchdir', [-1])))
      .create(),
    {
      code: 'EBADF',
      errno: 9,
      syscall: 'fchdir',
      step: 'my step',
      operation: 'fchdir(-1)',
    },
  )
})

t.test('an optional step that fails is left out and reported', needsContainers, async t => {
  const builder = overHost()
    .step({ ...step('try', call('fchdir', [-1]), call('umask', [0o77])), optional: true })
    .step({ ...step('fine', call('getpid', [])), optional: true })
  await using box = await builder.create()
  t.equal(box.omitted.length, 1)
  t.match(box.omitted[0], { step: 'try', error: { code: 'EBADF', syscall: 'fchdir' } })
  t.equal((await runIn(box, ['sh', '-c', 'umask'])).stdout, '0022\n')
})

t.test('errors that are tolerated skip what belongs to them', needsContainers, async t => {
  const at = slot('at')
  const AT_FDCWD = named('AT_FDCWD', -100)
  const builder = overHost().step(
    step(
      'tolerant',
      call('openat', [AT_FDCWD, '/no/such', 0], { result: at, tolerate: ['ENOENT'], skip: 1 }),
      call('fchdir', [-1]),
      call('sethostname', ['after', 5]),
    ),
  )
  t.equal(await shell(builder, 'hostname'), 'after')
})

t.test('a function of the host runs while init waits', needsRoot, async t => {
  const file = join(scratch(t), 'undo')
  const seen: plan.HostContext[] = []
  const builder = overHost('waiting').step({
    side: 'waiting',
    name: 'look',
    async run(context) {
      seen.push(context)
      writeFileSync(file, '')
      const asleep = () => /State:\tS/.test(readFileSync(`/proc/${context.pid}/status`, 'utf8'))
      t.ok(await until(asleep), 'init does nothing meanwhile')
      t.ok(existsSync(context.namespace('network')))
      await new Promise(resolve => setTimeout(resolve, 20))
    },
    undo: () => rmSync(file),
  })
  const box = await builder.create()
  t.equal(seen.length, 1)
  t.equal(seen[0]?.pid, box.pid)
  t.equal(seen[0]?.id, 'waiting')
  t.ok(existsSync(file))
  await box.delete()
  t.notOk(existsSync(file), 'delete takes it back')
})

t.test('waiting points in the process half', needsContainers, async t => {
  const order: string[] = []
  const builder = overHost().step(
    { side: 'waiting', name: 'before exec', run: () => void order.push('host') },
    { half: 'process' },
  )
  await using box = await builder.create()
  order.push('created')
  t.same((await runIn(box, ['echo', 'x'])).stdout, 'x\n')
  t.same(order, ['created', 'host'])
})

t.test(
  'a function that fails fails the container, and is undone; last things first',
  needsRoot,
  async t => {
    const order: string[] = []
    const waiting = (name: string, fail = false) => ({
      side: 'waiting' as const,
      name,
      run: () => {
        order.push(`run ${name}`)
        if (fail) throw Object.assign(new Error('no luck'), { code: 'EMINE' })
      },
      undo: () => void order.push(`undo ${name}`),
    })
    const builder = overHost('fails')
      .step(waiting('one'))
      .step(waiting('two', true))
      .step(waiting('three'))
    await t.rejects(builder.create(), { code: 'EMINE', step: 'two', message: 'two: no luck' })
    t.same(order, ['run one', 'run two', 'undo two', 'undo one'])
    await (await overHost('fails').create()).delete()
  },
)

t.test('a journal of what was made outlasts the program that made it', needsRoot, async t => {
  const { makeRoot, hostPrograms } = await import('../support/index.js')
  const { Container, tmpfs } = await import('cofferdam')
  const root = makeRoot(t)
  const id = `test-${process.pid}-journal`
  const box = await new Container(id).rootfs(root).mount(hostPrograms, tmpfs('/made')).create()
  const journal = JSON.parse(readFileSync(`/run/cofferdam/${id}/journal.json`, 'utf8'))
  const { dev, ino } = statSync(root)
  t.same(journal, [
    {
      step: 'mount target /made',
      made: { root, identity: `${dev}:${ino}`, path: '/made', kind: 'directory' },
    },
  ])
  await box.delete()
  t.notOk(existsSync(`/run/cofferdam/${id}`))
  t.notOk(readdirSync(root).includes('made'))
})

t.test('nothing is left behind', needsContainers, nothingLeft)
