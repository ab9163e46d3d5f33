import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { needsRoot, overHost, rememberTraces, run, until } from '../support/index.js'

const nothingLeft = await rememberTraces()

const preamble = `
  const { parentPort } = require('node:worker_threads')
  const make = async () => {
    const { Container, overlay } = await import('cofferdam')
    return await new Container().rootfs(overlay({ lower: ['/'] })).create()
  }
`

t.test('containers can be made in a worker', needsRoot, async t => {
  const worker = new Worker(
    `${preamble} make().then(async box => {
      const main = await box.start(['hostname'])
      const name = await main.stdout.text()
      await main.exited
      await box.delete()
      parentPort.postMessage(name.trim() === box.id)
    })`,
    { eval: true },
  )
  const [same] = await once(worker, 'message')
  t.equal(same, true)
  await once(worker, 'exit')
})

t.test('four workers at once', needsRoot, async t => {
  const counts = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const worker = new Worker(
        `${preamble} (async () => {
          let good = 0
          for (let i = 0; i < 25; i++) {
            const box = await make()
            const main = await box.start(['sh', '-c', 'exit ' + i], { stdio: 'ignore' })
            if ((await main.exited).exitCode === i) good++
            await box.delete()
          }
          parentPort.postMessage(good)
        })()`,
        { eval: true },
      )
      const [good] = await once(worker, 'message')
      await once(worker, 'exit')
      return good as number
    }),
  )
  t.same(counts, [25, 25, 25, 25])
})

t.test('a worker’s exit ends its own containers and no other’s', needsRoot, async t => {
  const ours = await overHost().create()
  const oursMain = await ours.start(['sleep', '1000'], { stdio: 'ignore' })
  const script = `${preamble} Promise.all([make(), make()]).then(async ([parked, running]) => {
    await running.start(['sleep', '1000'], { stdio: 'ignore' })
    parentPort.postMessage([parked.pid, running.pid])
  })`
  const staying = new Worker(script, { eval: true })
  const going = new Worker(script, { eval: true })
  const [[stayingPids], [goingPids]] = (await Promise.all([
    once(staying, 'message'),
    once(going, 'message'),
  ])) as [[number[]], [number[]]]

  await going.terminate()
  t.ok(await until(() => goingPids.every(pid => !existsSync(`/proc/${pid}`))), 'its own have ended')
  t.ok(
    stayingPids.every(pid => existsSync(`/proc/${pid}`)),
    'another worker’s live',
  )
  t.ok(existsSync(`/proc/${ours.pid}`), 'the main thread’s live')
  t.equal(ours.status, 'running')

  await staying.terminate()
  await ours.kill('SIGKILL')
  t.same(await oursMain.exited, { exitCode: null, signal: 'SIGKILL' })
  await ours.delete()
})

t.test('a worker that is terminated while it creates', needsRoot, async t => {
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(
      // Modules first: Node leaks the files that a worker was about to import.
      `${preamble} import('cofferdam').then(() => {
        for (let i = 0; i < 50; i++) make()
        setTimeout(() => parentPort.postMessage(0), ${i * 4})
      })`,
      { eval: true },
    )
    await once(worker, 'message')
    await worker.terminate()
  }
  t.match(await run(overHost(), ['echo', 'alive']), { stdout: 'alive\n' })
})

t.test('nothing is left behind', needsRoot, nothingLeft)
