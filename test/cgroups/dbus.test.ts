// What is said to a message bus and what it answers: dbus-daemon(1) is the peer.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { socketPaths } from '#lib/cgroups/dbus/address.js'
import { Bus, BusError } from '#lib/cgroups/dbus/connection.js'
import { decodeMessage, encodeMessage, messageLength } from '#lib/cgroups/dbus/message.js'
import { Reader } from '#lib/cgroups/dbus/read.js'
import { ProtocolError, parseSignature, Variant } from '#lib/cgroups/dbus/signature.js'
import { Writer } from '#lib/cgroups/dbus/write.js'
import { scratch } from '../support/index.js'

const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
}

/** A bus of the test's own; gives its address. */
async function daemon(t: Test, address: string): Promise<string> {
  const child = spawn(
    'dbus-daemon',
    ['--session', '--nofork', '--nopidfile', `--address=${address}`, '--print-address'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.teardown(async () => {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  return String((await once(child.stdout, 'data'))[0]).trim()
}

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

t.test('bytes of a message are those of the specification', async t => {
  const bytes = encodeMessage({
    type: 1,
    serial: 7,
    path: '/a',
    member: 'Be',
    signature: 'us',
    body: [5, 'x'],
  })
  const expected = `6c 01 00 01 0a000000 07000000 28000000
    01 01 6f 00 02000000 2f61 00 0000000000
    03 01 73 00 02000000 4265 00 0000000000
    08 01 67 00 02 7573 00
    05000000 01000000 78 00`
  t.equal(bytes.toString('hex'), hex(expected).toString('hex'))
  t.equal(messageLength(bytes), bytes.length)
  t.match(decodeMessage(bytes), { serial: 7, path: '/a', member: 'Be', body: [5, 'x'] })
})

/** A type, and values of it. */
const basics: Record<string, fc.Arbitrary<unknown>> = {
  y: fc.integer({ min: 0, max: 255 }),
  b: fc.boolean(),
  n: fc.integer({ min: -32768, max: 32767 }),
  q: fc.integer({ min: 0, max: 65535 }),
  i: fc.integer(),
  u: fc.nat(),
  x: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  t: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  d: fc.double({ noNaN: true }),
  s: fc.string({ unit: 'grapheme' }).filter(text => !text.includes('\0')),
  g: fc.constantFrom('', 'a{sv}', '(ii)'),
}

type Typed = [signature: string, value: unknown]

const { typed } = fc.letrec<{ typed: Typed }>(tie => ({
  typed: fc.oneof(
    { maxDepth: 4 },
    fc
      .constantFrom(...Object.keys(basics))
      .chain(code => (basics[code] as fc.Arbitrary<unknown>).map((value): Typed => [code, value])),
    tie('typed').map(([signature, value]): Typed => ['v', new Variant(signature, value)]),
    tie('typed').map(
      ([signature, value]): Typed => [
        `a${signature}`,
        signature === 'y' ? Uint8Array.of(value as number, 7) : [value, value],
      ],
    ),
    fc
      .array(tie('typed'), { minLength: 1, maxLength: 4 })
      .map(
        (members): Typed => [
          `(${members.map(([one]) => one).join('')})`,
          members.map(([, one]) => one),
        ],
      ),
    fc
      .tuple(basics.s as fc.Arbitrary<unknown>, tie('typed'))
      .map(([key, [signature, value]]): Typed => [`a{s${signature}}`, [[key, value]]]),
  ),
}))

t.test('all that is written is read again', async t => {
  fc.assert(
    fc.property(fc.array(typed, { maxLength: 5 }), all => {
      const signature = all.map(([one]) => one).join('')
      const values = all.map(([, one]) => one)
      fc.pre(signature.length < 256)
      const bytes = new Writer().write(signature, values).bytes
      t.same(new Reader(bytes).read(signature), values)
    }),
    { numRuns: 300 },
  )
})

/** Runs a decoder on anything: it gives a value, or throws the one error. */
function survives(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

t.test('whatever comes, it is a message or an error', async () => {
  const good = encodeMessage({
    type: 4,
    serial: 1,
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member: 'JobRemoved',
    signature: 'uoss(sv)a{sv}ay',
    body: [
      1,
      '/job',
      'unit',
      'done',
      ['x', new Variant('t', 3n)],
      [['k', new Variant('b', true)]],
      new Uint8Array(9),
    ],
  })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(good.length),
      (changes, cut) => {
        const bytes = Buffer.from(good)
        for (const [at, value] of changes) bytes[at] = value
        survives(() => decodeMessage(bytes))
        survives(() => decodeMessage(good.subarray(0, cut)))
        survives(() => messageLength(bytes))
      },
    ),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes =>
      survives(() => decodeMessage(Buffer.from(bytes))),
    ),
  )
  fc.assert(fc.property(fc.string(), text => survives(() => parseSignature(text))))
  fc.assert(
    fc.property(
      fc.stringMatching(/^[ybnaisv(){}]{0,60}$/),
      fc.uint8Array({ maxLength: 200 }),
      (signature, bytes) => survives(() => new Reader(bytes).read(signature)),
    ),
  )
  survives(() => parseSignature('a'.repeat(200)))
  survives(() => parseSignature('('.repeat(200)))
})

t.test('addresses', async t => {
  t.same(socketPaths('unix:path=/run/a%20b,guid=7;tcp:host=x;unix:path=/x'), ['/run/a b', '/x'])
  t.same(socketPaths('unix:path=/a%00b'), [])
  t.same(socketPaths('unix:path'), [])
  t.same(socketPaths(''), [])
  fc.assert(fc.property(fc.string(), text => Array.isArray(socketPaths(text))))
})

t.test('a real bus: calls, answers, errors, signals', async t => {
  const address = await daemon(t, `unix:path=${join(scratch(t), 'bus')}`)
  const bus = await Bus.open(`unix:path=/nowhere;${address}`)
  t.teardown(() => bus.close())
  const names = await bus.call({ ...BUS, member: 'ListNames' })
  t.match((names[0] as string[])[0], /^org\.freedesktop\.DBus$|^:/)
  const [pid] = await bus.call({
    ...BUS,
    member: 'GetConnectionUnixProcessID',
    signature: 's',
    body: [(names[0] as string[]).find(name => name.startsWith(':')) as string],
  })
  t.equal(pid, process.pid, 'it knows who this is')
  const error = await bus
    .call({ ...BUS, member: 'GetNameOwner', signature: 's', body: ['no.such.name'] })
    .catch(error => error)
  t.ok(error instanceof BusError)
  t.equal(error.errorName, 'org.freedesktop.DBus.Error.NameHasNoOwner')

  const signals: unknown[] = []
  const heard = new Promise<void>(resolve => {
    bus.onSignal(signal => {
      if (signal.member !== 'NameOwnerChanged') return
      signals.push(signal.body)
      resolve()
    })
  })
  await bus.match("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'")
  const other = await Bus.open(address)
  await heard
  t.match((signals[0] as string[])[2], /^:1\./)
  other.close()
  const late = await other.call({ ...BUS, member: 'ListNames' }).catch(error => error)
  t.ok(late instanceof ProtocolError)
  // Much at once, and one that is large: all come, each to its call.
  const ids = await Promise.all(
    Array.from({ length: 50 }, () => bus.call({ ...BUS, member: 'GetId' })),
  )
  t.equal(new Set(ids.flat()).size, 1)
  const large = 'x'.repeat(200_000)
  const refused = await bus
    .call({ ...BUS, member: 'GetNameOwner', signature: 's', body: [large] })
    .catch(error => error)
  t.ok(refused instanceof BusError)
})

t.test('what is no bus is an error, and what ends is the end of what is waited for', async t => {
  await t.rejects(Bus.open('unix:path=/nowhere'), { code: 'ENOENT', syscall: 'connect' })
  await t.rejects(Bus.open('tcp:host=x'), { code: 'EINVAL' })
  const says = async (answer: (socket: Socket, said: string) => void) => {
    const path = join(scratch(t), 'bus')
    const server = createServer(socket => {
      socket.on('error', () => undefined)
      socket.on('data', said => answer(socket, String(said)))
    }).listen(path)
    await once(server, 'listening')
    t.teardown(() => server.close())
    return `unix:path=${path}`
  }
  await t.rejects(Bus.open(await says(socket => socket.write('REJECTED EXTERNAL\r\n'))), {
    code: 'EACCES',
  })
  await t.rejects(Bus.open(await says(socket => socket.write('O'.repeat(10_000)))), {
    code: 'EPROTO',
  })
  await t.rejects(Bus.open(await says(socket => socket.destroy())), { code: 'EPROTO' })
  const garbage = (bytes: Buffer) =>
    says((socket, said) => socket.write(said.includes('AUTH') ? 'OK 1234\r\n' : bytes))
  await t.rejects(Bus.open(await garbage(Buffer.alloc(64, 'x'))), { code: 'EPROTO' })
  // A message that says it has 3 GB.
  const huge = hex('6c 02 00 01 000000c0 01000000 00000000')
  await t.rejects(Bus.open(await garbage(huge)), { code: 'EPROTO' })
})
