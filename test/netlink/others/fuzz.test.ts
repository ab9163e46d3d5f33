import { CofferdamError } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { together, wireDevices } from '#lib/netlink/generic/wireguard.js'
import { wireguardFormat } from '#lib/netlink/generic/wireguard-format.js'
import { conntrackFormat } from '#lib/netlink/others/conntrack-format.js'
import { inetFormat } from '#lib/netlink/others/inet-diag.js'
import { readProcessEvent } from '#lib/netlink/others/process-format.js'
import { eachUevent, readUevent } from '#lib/netlink/others/uevents.js'
import { unixFormat } from '#lib/netlink/others/unix-diag.js'
import { fq, fqCodel } from '#lib/netlink/traffic/fair.js'
import { flowerKind } from '#lib/netlink/traffic/flower.js'
import { htb, htbClass } from '#lib/netlink/traffic/htb.js'
import { netem } from '#lib/netlink/traffic/netem.js'
import { tbf } from '#lib/netlink/traffic/tbf.js'
import { tcFormat } from '#lib/netlink/traffic/tc-format.js'
import { u32Kind } from '#lib/netlink/traffic/u32.js'

const formats = {
  tcFormat,
  conntrackFormat,
  wireguardFormat,
  unix: unixFormat.answer,
  inet: inetFormat.answer,
}
const kinds = { tbf, htb, htbClass, netem, fq, fqCodel, u32Kind, flower: flowerKind(0x0800) }

/** Attributes of any numbers, that may stand in one another: what is more like a message than any bytes. */
const nested: fc.Arbitrary<Buffer> = fc.letrec<{ all: Buffer; one: Buffer }>(tie => ({
  all: fc.array(tie('one'), { maxLength: 4 }).map(parts => Buffer.concat(parts)),
  one: fc
    .tuple(
      fc.integer({ min: 0, max: 40 }),
      fc.oneof(
        { maxDepth: 4 },
        fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
        tie('all'),
      ),
    )
    .map(([type, body]) => {
      const out = Buffer.alloc((4 + body.length + 3) & ~3)
      out.writeUInt16LE(4 + body.length, 0)
      out.writeUInt16LE(type, 2)
      body.copy(out, 4)
      return out
    }),
})).all
const anything = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
  nested,
  fc
    .tuple(fc.uint8Array({ minLength: 24, maxLength: 24 }), nested)
    .map(parts => Buffer.concat(parts)),
)

/** A value, or an error of ours. */
function survives(read: () => unknown): void {
  try {
    read()
  } catch (error) {
    if (!(error instanceof CofferdamError) || error.code !== 'ERR_MALFORMED') throw error
  }
}

t.test('whatever comes gives a value or a typed error', async t => {
  fc.assert(
    fc.property(anything, bytes => {
      for (const format of Object.values(formats))
        survives(() => format.read(bytes, 0, bytes.length))
      for (const kind of Object.values(kinds)) survives(() => kind.read(bytes))
      survives(() => readProcessEvent(bytes, 0, bytes.length))
      eachUevent(bytes, ({ start, end }) => readUevent(bytes.toString('utf8', start, end)))
    }),
    { numRuns: 2000 },
  )
  t.pass('it does')
})

t.test('events of devices that came together are told apart', async t => {
  const word = fc.stringMatching(/^[a-z0-9@=/_:. -]{0,12}$/)
  const event = fc.record({
    action: fc.constantFrom('add', 'remove', 'change'),
    path: word.map(rest => `/${rest}`),
    properties: fc.dictionary(fc.stringMatching(/^[A-Z_]{1,8}$/), word, { maxKeys: 4 }),
  })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 5 }), events => {
      const bytes = Buffer.concat(
        events.map(({ action, path, properties }) =>
          Buffer.from(
            [
              `${action}@${path}`,
              ...Object.entries(properties).map(([k, v]) => `${k}=${v}`),
              '',
            ].join('\0'),
          ),
        ),
      )
      const found: unknown[] = []
      eachUevent(bytes, ({ start, end }) => {
        const { action, path, properties } = readUevent(bytes.toString('utf8', start, end)) ?? {}
        found.push({ action, path, properties })
      })
      t.same(
        found,
        events.map(one => ({ ...one, properties: { ...one.properties } })),
      )
    }),
    { numRuns: 200 },
  )
})

t.test('peers that are split over messages are the same when they are put together', async t => {
  const key = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map(raw => Buffer.from(raw).toString('base64'))
  const peer = fc.record({
    publicKey: key,
    allowedIps: fc
      .integer({ min: 0, max: 900 })
      .map(count => Array.from({ length: count }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`)),
  })
  fc.assert(
    fc.property(fc.uniqueArray(peer, { maxLength: 60, selector: one => one.publicKey }), peers => {
      const devices = wireDevices({ peers })
      const { peers: found } = together(devices)
      t.same(
        found.map(({ publicKey, allowedIps }) => ({ publicKey, allowedIps })),
        peers,
      )
    }),
    { numRuns: 30 },
  )
})
