import { existsSync, readlinkSync } from 'node:fs'
import { uptime } from 'node:os'
import t from 'tap'
import { needsContainers, overHost, rememberTraces, scratch, shell } from '../support/index.js'
import { needsTime, needsTimeContainers } from '../support/processes.js'

const nothingLeft = await rememberTraces()
const DAY = 86_400
const seconds = async (script: Promise<string>) => Number((await script).split(' ')[0])
/** Near enough, for what takes a moment. */
const near = (a: number, b: number) => Math.abs(a - b) < 60

t.test('clocks of its own', needsTimeContainers, async t => {
  const builder = overHost().timeOffsets({ monotonic: '1d', boottime: '2d' })
  t.ok(near(await seconds(shell(builder, 'cat /proc/uptime')), uptime() + 2 * DAY))
  const offsets = await shell(builder, 'cat /proc/self/timens_offsets')
  t.match(offsets, /monotonic\s+86400\s+0\nboottime\s+172800\s+0/)
  t.ok(near(await seconds(shell(overHost(), 'cat /proc/uptime')), uptime()), 'only if asked for')
})

t.test('a time namespace without offsets', needsTimeContainers, async t => {
  await using box = await overHost().isolate('mount', 'pid', 'ipc', 'network', 'time').create()
  const main = await box.start(['sleep', '100'])
  t.not(readlinkSync(`/proc/${main.pid}/ns/time`), readlinkSync('/proc/self/ns/time'))
})

for (const lifetime of ['attached', 'detached', 'released'] as const)
  t.test(`its first process is process 1, ${lifetime}`, needsTime, async t => {
    const builder = overHost().timeOffsets({ boottime: '1d' })
    await using box = await builder.create({ lifetime, stateFolder: scratch(t) })
    const main = await box.start(['sh', '-c', 'echo $$; read x; exit 3'])
    const lines = main.stdout.lines()
    t.equal((await lines.next()).value, '1')
    const other = await box.exec(['cat', '/proc/uptime'])
    t.ok(near(await seconds(other.stdout.text()), uptime() + DAY), 'exec() joins it')
    const { pid } = box
    t.equal(readlinkSync(`/proc/${pid}/ns/time_for_children`), readlinkSync(`/proc/${pid}/ns/time`))
    main.stdin.end('\n')
    t.same(await main.exited, { exitCode: 3, signal: null })
  })

t.test('in a user namespace', needsTime, async t => {
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  const builder = overHost().idMappings({ uid: ids, gid: ids }).timeOffsets({ boottime: '1d' })
  t.ok(near(await seconds(shell(builder, 'cat /proc/uptime')), uptime() + DAY))
})

t.test('one that is joined', needsTime, async t => {
  await using first = await overHost().timeOffsets({ boottime: '3d' }).create()
  await first.start(['sleep', '100'], { stdio: 'ignore' })
  const joining = overHost().isolate('mount', 'pid', { time: `/proc/${first.pid}/ns/time` })
  t.ok(near(await seconds(shell(joining, 'cat /proc/uptime')), uptime() + 3 * DAY))
  const both = overHost()
    .isolate('mount', { time: `/proc/${first.pid}/ns/time` })
    .timeOffsets({ boottime: 1 })
  await t.rejects(both.create(), { code: 'ERR_CONFLICT', option: 'timeOffsets' })
})

t.test('a clock can not show less than nothing', needsTimeContainers, async t => {
  await t.rejects(overHost().timeOffsets({ boottime: '-3650d' }).create(), {
    code: 'ERANGE',
    step: 'time namespace',
    syscall: 'write',
  })
  t.throws(() => overHost().timeOffsets({ boottime: 'later' }), {
    code: 'ERR_INVALID_OPTION',
    option: 'timeOffsets.boottime',
  })
})

t.test('a kernel without any says so', needsContainers, async t => {
  if (existsSync('/proc/self/ns/time')) return t.pass('this one has them')
  await t.rejects(overHost().timeOffsets({ boottime: '1d' }).create(), {
    code: 'ENOENT',
    step: 'time namespace',
    hint: /CONFIG_TIME_NS/,
  })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
