// What box.events() tells of a container, with a control group and without.
import { join } from 'node:path'
import { type Box, Container, type ContainerEvent } from 'cofferdam'
import t from 'tap'
import { needsController } from '../support/cgroups.js'
import { needsRoot, overHost, program, rememberTraces, scratch } from '../support/index.js'

const nothingLeft = await rememberTraces()

/** All that is told until the container is deleted, which it is when it has ended. */
async function told(box: Box): Promise<ContainerEvent[]> {
  const all: ContainerEvent[] = []
  for await (const event of box.events()) {
    all.push(event)
    if (event.type === 'exit') void box.delete()
  }
  return all
}

const types = (events: readonly ContainerEvent[]) => events.map(({ type }) => type)

for (const grouped of [true, false])
  t.test(`the end, ${grouped ? 'with' : 'without'} a group`, needsRoot, async t => {
    const builder = grouped ? overHost().limits({}) : overHost()
    await using box = await builder.create()
    const all = told(box)
    await box.start(['sh', '-c', 'exit 3'], { stdio: 'ignore' })
    const events = await all
    t.match(
      events.find(({ type }) => type === 'exit'),
      { exitCode: 3, signal: null },
    )
    t.same(types(events).slice(-1), ['deleted'])
    await box.delete()
    t.throws(() => box.events(), /is deleted/)
  })

t.test('an end that was before is told of too', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  await (await box.start(['true'], { stdio: 'ignore' })).exited
  for await (const event of box.events())
    if (event.type === 'exit') {
      t.match(event, { exitCode: 0, signal: null })
      break
    }
})

t.test(
  'memory that ran out comes before the end that it was',
  needsController('memory'),
  async t => {
    await using box = await overHost()
      .limits({ memory: { max: '32MiB', swap: 0 } })
      .create()
    const all = told(box)
    await box.start(['tail', '/dev/zero'], { stdio: 'ignore' })
    const events = await all
    t.match(
      events.find(({ type }) => type === 'oomKill'),
      { count: 1, total: 1 },
    )
    t.match(
      events.find(({ type }) => type === 'exit'),
      { exitCode: null, signal: 'SIGKILL' },
    )
    t.ok(types(events).indexOf('oomKill') < types(events).indexOf('exit'), `${types(events)}`)
  },
)

t.test('paused and resumed, whoever has done it', needsRoot, async t => {
  const state = join(scratch(t), 'state')
  const builder = overHost(`events-${process.pid}`).limits({})
  await using box = await builder.create({ lifetime: 'detached', stateFolder: state })
  await box.start(['sleep', '100'], { stdio: 'ignore' })
  const seen: string[] = []
  const watching = (async () => {
    for await (const { type } of box.events()) {
      seen.push(type)
      if (type === 'resumed') break
    }
  })()
  await program(
    state,
    `const box = await Container.load('events-${process.pid}', state)
    await box.pause()
    await box.resume()`,
  )
  await watching
  t.same(seen.filter(type => type === 'paused' || type === 'resumed').slice(-1), ['resumed'])
})

t.test('a signal ends it, and what is wrong is refused', needsRoot, async t => {
  for (const builder of [overHost().limits({}), overHost()]) {
    await using box = await builder.create()
    const abort = new AbortController()
    const waiting = (async () => {
      const all: ContainerEvent[] = []
      for await (const event of box.events({ signal: abort.signal })) all.push(event)
      return all
    })()
    setTimeout(() => abort.abort(), 20)
    t.notOk(types(await waiting).includes('deleted'))
    t.throws(() => box.events({ signl: abort.signal } as object), /events\.signl/)
  }
})

t.test('pressure is of a control group', needsRoot, async t => {
  await using box = await overHost().create()
  const pressure = [{ resource: 'memory' as const, stall: '150ms' }]
  t.throws(() => box.events({ pressure }), {
    code: 'ERR_STATE',
    message: /^events\.pressure: container .* no control group/,
    hint: /limits\(\{\}\)/,
  } as never)
  t.throws(() => box.events({ presure: pressure } as never), /presure: there is no such option/)
})

t.test('who waits for no event is not kept alive', needsRoot, async t => {
  const state = join(scratch(t), 'state')
  const name = `events-alive-${process.pid}`
  await program(
    state,
    `const box = await over('${name}').limits({}).create({ lifetime: 'detached', ...state })
    await box.start(['sleep', '1000'], { stdio: 'ignore' })
    box.events()`,
  )
  const box = await Container.load(name, { stateFolder: state })
  t.equal(box.status, 'running')
  await box.delete()
})

t.test('nothing is left', nothingLeft)
