import { once } from 'node:events'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { needsRoot, rememberTraces, traces, until } from '../support/index.js'

const nothingLeft = await rememberTraces()

/** What opens descriptors, by node:fs and by the addon. */
const preamble = `
  const { parentPort } = require('node:worker_threads')
  const warnings = []
  process.on('warning', ({ message }) => warnings.push(message))
  const open = async () => {
    const { mounts, namespaces } = await import('cofferdam')
    const own = { mount: { pid: process.pid } }
    return [
      namespaces.open('network'),
      namespaces.ownerOf('network'),
      await namespaces.run(own, mounts.openTable()),
      mounts.watch(),
      mounts.watch({ process: await namespaces.run(own, mounts.openTable()) }),
    ]
  }
  const close = opened => { for (const one of opened) one.close() }
`

/** Those of the numbers that are no open descriptor. */
const lost = (fds: number[]) =>
  fds.filter(fd => {
    try {
      fstatSync(fd)
      return false
    } catch {
      return true
    }
  })

t.test('what a worker has closed is not closed again at its end', needsRoot, async t => {
  const worker = new Worker(
    `${preamble} open().then(close).then(() => setImmediate(() => parentPort.postMessage(warnings)))
    parentPort.once('message', () => undefined)`,
    { eval: true },
  )
  const exit = once(worker, 'exit')
  t.same(await once(worker, 'message'), [[]], 'nor does Node wonder')
  // Somebody else gets the numbers meanwhile.
  const others = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  worker.postMessage('end')
  await exit
  t.same(lost(others), [])
  for (const fd of others) closeSync(fd)
})

t.test('what a worker has not closed goes with it', needsRoot, async t => {
  const before = traces().descriptors
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(
      `${preamble} open().then(opened => { globalThis.opened = opened; parentPort.postMessage('open') })
      setInterval(() => undefined, 1000)`,
      { eval: true },
    )
    await once(worker, 'message')
    t.ok(traces().descriptors > before)
    await worker.terminate()
  }
  t.ok(await until(() => traces().descriptors <= before))
})

t.test('nothing is left', needsRoot, nothingLeft)
