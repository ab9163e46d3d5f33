import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { needsContainers, needsRoot, overHost, rememberTraces, until } from '../support/index.js'

const nothingLeft = await rememberTraces()

/** A container of a shell that has started some others, and says so. */
async function family(script: string, builder = overHost()) {
  const box = await builder.create()
  const main = await box.start(['sh', '-c', script])
  const lines = main.stdout.lines()
  await lines.next()
  return { box, main, lines }
}

t.test('processes, with their pids inside and outside', needsRoot, async t => {
  const { box } = await family('sleep 1000 & sleep 1001 & echo ready; wait')
  const other = await box.exec(['cat'], { user: 1000 })
  const list = await box.processes()
  t.same(
    list.map(({ name, uid }) => [name, uid]),
    [
      ['sh', 0],
      ['sleep', 0],
      ['sleep', 0],
      ['cat', 1000],
    ],
  )
  t.equal(list[0]?.containerPid, 1)
  t.equal(list[0]?.pid, box.pid)
  t.equal(list[1]?.parent, box.pid)
  t.equal(list[3]?.pid, other.pid)
  for (const { pid, containerPid } of list)
    t.match(
      readFileSync(`/proc/${pid}/status`, 'utf8'),
      new RegExp(`^NSpid:.*\t${containerPid}$`, 'm'),
    )
  const { length } = list
  const inside = await box.exec(['sh', '-c', 'ls -d /proc/[0-9]* | wc -l'])
  t.ok(Number(await inside.stdout.text()) >= length)
  await inside.exited
  await box.delete()
  t.same(await box.processes(), [])
})

t.test('processes without a PID namespace: the family as it is', needsRoot, async t => {
  const { box } = await family('sleep 1000 & echo ready; wait', overHost().isolate('mount'))
  const list = await box.processes()
  t.same(
    list.map(({ name }) => name),
    ['sh', 'sleep'],
  )
  t.ok(list.every(({ pid, containerPid }) => pid === containerPid))
  const sleeping = list[1]?.pid as number
  await t.rejects(box.kill('SIGTERM', { all: true }), {
    code: 'ERR_UNSUPPORTED',
    option: 'kill.all',
    hint: /isolate/,
  })
  t.ok(existsSync(`/proc/${sleeping}`), 'and nobody got it')
  process.kill(sleeping)
  await box.delete()
})

t.test('a signal for all of them', needsContainers, async t => {
  const script = `
    trap "echo first" USR1
    for i in 1 2 3; do (trap "echo other; exit" USR1; echo up; while :; do sleep 0.01; done) & done
    echo ready; while :; do sleep 0.01; done`
  const { box, lines } = await family(script)
  for (let seen = 1; seen < 4; seen++) await lines.next()
  await box.kill('SIGUSR1', { all: true })
  const heard: string[] = []
  while (heard.length < 4) heard.push(String((await lines.next()).value))
  t.same(heard.sort(), ['first', 'other', 'other', 'other'])
  await box.kill('SIGKILL', { all: true })
  t.ok(await until(() => box.status === 'stopped'))
  await t.rejects(box.kill('SIGTERM', { all: true }), { code: 'ESRCH' })
  await box.delete()
})

t.test('stop: what listens ends by itself', needsContainers, async t => {
  const { box } = await family('trap "exit 3" TERM; echo ready; while :; do sleep 0.01; done')
  t.same(await box.stop(), { exitCode: 3, signal: null })
  t.same(await box.stop(), { exitCode: 3, signal: null }, 'and again')
  await box.delete()
})

t.test('stop: what does not listen is ended', needsContainers, async t => {
  const { box } = await family('trap "" TERM; echo ready; while :; do sleep 0.01; done')
  const begin = performance.now()
  t.same(await box.stop({ timeout: '0.2s' }), { exitCode: null, signal: 'SIGKILL' })
  t.ok(performance.now() - begin >= 199, 'but not before the time')
  await box.delete()
})

t.test('stop: another signal, a parked container, wrong options', needsContainers, async t => {
  const { box } = await family('trap "exit 4" INT; echo ready; while :; do sleep 0.01; done')
  t.same(await box.stop({ signal: 'SIGINT' }), { exitCode: 4, signal: null })
  await box.delete()
  const parked = await overHost().create()
  t.same(await parked.stop(), { exitCode: null, signal: 'SIGKILL' })
  t.equal(parked.status, 'stopped')
  for (const options of [{ timeout: '3 days' }, { timeout: -1 }, { signal: 'SIGNO' }, { grace: 1 }])
    await t.rejects(parked.stop(options as object), {
      code: 'ERR_INVALID_OPTION',
      name: 'CofferdamError',
    })
  await parked.delete()
})

t.test('nothing is left behind', needsContainers, nothingLeft)
