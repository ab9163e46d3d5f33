import { setMaxListeners } from 'node:events'
import { closeSync, fstatSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { namespaces, plan } from 'cofferdam'
import t from 'tap'
import {
  dieWithHostStep,
  errandSteps,
  given,
  job,
  openFile,
  openSocket,
  readBytes,
  readText,
  result,
} from '#lib/run/index.js'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'

const { call, named, sibling, slot, step } = plan
const nothingLeft = await rememberTraces()

/** Does an errand in new namespaces, or in this program's. */
async function send<T>(errand: Parameters<typeof errandSteps<T>>[0], ...before: plan.Step[]) {
  const { steps, answer } = errandSteps(errand)
  await job('the errand', [...before, ...steps])
  return answer()
}

t.test('a descriptor comes back', async t => {
  const path = join(scratch(t), 'file')
  writeFileSync(path, 'hello')
  using file = await send(openFile(path))
  t.equal(readFileSync(file.fd, 'utf8'), 'hello')
  const { fd } = file
  file.close()
  t.equal(file.fd, -1)
  t.throws(() => fstatSync(fd), { code: 'EBADF' })
})

t.test('a file is read as the process sees it', async t => {
  t.equal(await send(readText('/proc/sys/kernel/hostname')), `${hostname()}\n`)
  t.match(await send(readText('/proc/self/comm')), /^memfd:cofferdam/)
  t.equal((await send(readBytes('/dev/null'))).length, 0)
})

t.test('in other namespaces it says something else', needsRoot, async t => {
  const rename = step('rename', call('sethostname', ['else', 4]))
  const text = await send(
    readText('/proc/sys/kernel/hostname'),
    namespaces.unshare(['uts']),
    rename,
  )
  t.equal(text, 'else\n')
  t.not(hostname(), 'else')
  using socket = await send(openSocket(2, 1), namespaces.unshare(['network']))
  t.match(readlinkSync(`/proc/self/fd/${socket.fd}`), /^socket:/)
})

t.test('what a system call gives comes back', async t => {
  const pid = await send(result(call('getpid', [])))
  t.ok(pid > 1n && pid !== BigInt(process.pid))
  // personality(0xffffffff) asks and changes nothing
  t.equal(await send(result(call('personality', [0xffffffff]))), 0n)
})

t.test('a file that is too large is refused', async t => {
  const path = join(scratch(t), 'large')
  writeFileSync(path, Buffer.alloc((1 << 20) + 1))
  await t.rejects(send(readBytes(path)), { code: 'EFBIG', step: `read ${path}` })
  writeFileSync(path, Buffer.alloc(1 << 20, 'x'))
  t.equal((await send(readBytes(path))).length, 1 << 20)
})

t.test('a descriptor goes along', async t => {
  const path = join(scratch(t), 'file')
  writeFileSync(path, 'old')
  const fd = openSync(path, 'r+')
  const file = slot('file')
  await job('write', [given(fd, file), step('write', call('write', [file, 'new', 3]))])
  closeSync(fd)
  t.equal(readFileSync(path, 'utf8'), 'new')
  await t.rejects(job('write', [given(fd, file), step('write', call('write', [file, 'x', 1]))]), {
    code: 'EBADF',
    syscall: 'fcntl',
  })
})

t.test('errors name the step, and what was thrown by a host function', async t => {
  await t.rejects(send(openFile('/does/not/exist')), {
    code: 'ENOENT',
    syscall: 'openat',
    path: '/does/not/exist',
  })
  const thrown = new Error('no')
  const waiting = { side: 'waiting' as const, name: 'think', run: () => Promise.reject(thrown) }
  await t.rejects(job('think', [waiting]), { message: 'think: no', cause: thrown })
})

t.test('a job can be given up', async t => {
  const hour = Buffer.alloc(16)
  hour.writeBigInt64LE(3600n)
  const long = step('sleep', call('nanosleep', [{ bytes: hour, text: '{3600}' }, 0]))
  await t.rejects(job('sleep', [long], { timeout: 50 }), { code: 'ETIMEDOUT' })
  const controller = new AbortController()
  const sleeping = job('sleep', [long], { signal: controller.signal })
  await sleep(20)
  controller.abort(new Error('enough'))
  await t.rejects(sleeping, { message: 'enough' })
  await t.rejects(job('sleep', [long], { signal: controller.signal }), { message: 'enough' })
  // Most of them before there is a process.
  const early = new AbortController()
  setMaxListeners(0, early.signal)
  const many = Array.from({ length: 20 }, () => job('sleep', [long], { signal: early.signal }))
  early.abort(new Error('at once'))
  await Promise.all(many.map(one => t.rejects(one, { message: 'at once' })))
  const forking = new AbortController()
  setMaxListeners(0, forking.signal)
  const forks = [step('first process', sibling()), dieWithHostStep(), long]
  const others = Array.from({ length: 20 }, () => job('fork', forks, { signal: forking.signal }))
  forking.abort(new Error('at once'))
  await Promise.all(others.map(one => t.rejects(one, { message: 'at once' })))
})

t.test('the host may duplicate descriptors, and use fcntl for nothing else', async t => {
  const F_SETFL = named('F_SETFL', 4)
  const flags = plan.hostStep('flags', call('fcntl', [1, F_SETFL, 0]))
  await t.rejects(job('flags', [flags]), { code: 'EBADMSG' })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
