import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { needsRoot, overHost, rememberTraces, run, traces, until } from '../support/index.js'

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
  const exit = once(worker, 'exit') // which may follow the message at once
  const [same] = await once(worker, 'message')
  t.equal(same, true)
  await exit
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
      const exit = once(worker, 'exit')
      const [good] = await once(worker, 'message')
      await exit
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

/** Runs a program of which only workers load the addon; gives how it ended. */
function program(body: string): Promise<{ code: unknown; stderr: string }> {
  const script = `
    const { once } = await import('node:events')
    const { Worker } = await import('node:worker_threads')
    const source = \`(async () => {
      const { Container, overlay } = await import('cofferdam')
      const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
      await (await box.start(['true'])).exited
      await box.delete()
    })()\`
    ${body}`
  return new Promise(resolve =>
    execFile(process.execPath, ['--input-type=module', '-e', script], (error, _, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), stderr }),
    ),
  )
}

t.test('workers come and go, and nobody else has the addon', needsRoot, async t => {
  const { code, stderr } = await program(`
    const { readdirSync } = await import('node:fs')
    const count = what => readdirSync('/proc/self/' + what).length
    let before
    for (let i = 0; i < 12; i++) {
      await once(new Worker(source, { eval: true }), 'exit')
      if (i === 3) before = [count('fd'), count('task')]
    }
    await new Promise(done => setTimeout(done, 50))
    if (count('fd') > before[0] || count('task') > before[1]) throw new Error('something was left')`)
  t.equal(code, 0, stderr)
})

t.test('workers that are terminated at any time take nobody along', needsRoot, async t => {
  const { code, stderr } = await program(`
    for (let i = 0; i < 40; i++) {
      const worker = new Worker(source, { eval: true })
      worker.on('error', () => undefined)
      await new Promise(done => setTimeout(done, 20 + 3 * i))
      await worker.terminate()
    }`)
  t.equal(code, 0, stderr)
})

t.test('a worker that is terminated leaves no pipe', needsRoot, async t => {
  const before = traces().descriptors
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(
      `${preamble} make().then(async box => {
        await box.start(['sleep', '1000'])
        parentPort.postMessage('running')
      })`,
      { eval: true },
    )
    await once(worker, 'message')
    await worker.terminate()
  }
  t.ok(await until(() => traces().descriptors <= before))
})

t.test('a worker that is terminated leaves nothing that it was sent', needsRoot, async t => {
  const before = traces().descriptors
  const body = `
    const { parentPort } = require('node:worker_threads')
    import('cofferdam').then(async ({ namespaces: { run, openFile } }) => {
      await run({}, openFile('/'))
      parentPort.postMessage('first')
      for (;;) await Promise.all(Array.from({ length: 10 }, async () =>
        (await run({}, openFile('/'))).close()))
    })`
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(body, { eval: true })
    await once(worker, 'message')
    await worker.terminate()
  }
  t.ok(await until(() => traces().descriptors <= before))
})

t.test('a worker that is terminated with processes joined, and its names', needsRoot, async t => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    import('cofferdam').then(async ({ Container, overlay }) => {
      const boxes = await Promise.all(['joined-1', 'joined-2'].map(id =>
        new Container(id).rootfs(overlay({ lower: ['/'] })).create()))
      for (const box of boxes) {
        await box.start(['sleep', '1000'], { stdio: 'ignore' })
        await Promise.all(Array.from({ length: 8 }, () => box.exec(['sleep', '1000'], { stdio: 'ignore' })))
      }
      parentPort.postMessage('running')
    })`,
    { eval: true },
  )
  await once(worker, 'message')
  await worker.terminate()
  const box = await overHost('joined-1').create()
  t.equal(box.id, 'joined-1', 'the name is free again')
  await box.delete()
})

t.test('a name is taken for all workers', needsRoot, async t => {
  await using box = await overHost('taken').create()
  const worker = new Worker(
    `import('cofferdam').then(({ Container }) => new Container('taken').rootfs('/').create())
      .catch(error => require('node:worker_threads').parentPort.postMessage(error.code))`,
    { eval: true },
  )
  const exit = once(worker, 'exit')
  t.same(await once(worker, 'message'), ['EEXIST'])
  await exit
  t.equal(box.id, 'taken')
})

t.test('nothing is left behind', needsRoot, nothingLeft)
