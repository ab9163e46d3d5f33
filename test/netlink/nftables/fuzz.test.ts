import { CofferdamError } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { type Format, Writer } from '#lib/netlink/codec/index.js'
import { chainFormat, chainOf } from '#lib/netlink/nftables/chains.js'
import { ElementLayout, elementsFormat, type WireElement } from '#lib/netlink/nftables/elements.js'
import { expressionsCodec } from '#lib/netlink/nftables/expressions/index.js'
import { objectFormat, objectOf } from '#lib/netlink/nftables/objects.js'
import { ruleFormat, ruleOf } from '#lib/netlink/nftables/rules.js'
import { setFormat, setOf } from '#lib/netlink/nftables/sets.js'
import { tableFormat, tableOf } from '#lib/netlink/nftables/tables.js'
import { readUserdata, userdataParts, writeUserdata } from '#lib/netlink/nftables/userdata.js'

const set = { family: 'inet', table: 't', name: 's' } as const
const layouts = [
  new ElementLayout({ ...set, type: 'ipv4_addr', interval: true }),
  new ElementLayout({ ...set, type: ['ipv4_addr', 'inet_service'], interval: true, map: 'mark' }),
  new ElementLayout({ ...set, type: 'ifname', map: 'verdict' }),
]

/** A value, or an error of this package's. */
function harmless(what: () => unknown): void {
  try {
    what()
  } catch (error) {
    if (!(error instanceof CofferdamError)) throw error
  }
}

const readers: ((bytes: Buffer) => unknown)[] = [
  bytes => tableOf(tableFormat.read(bytes, 0, bytes.length)),
  bytes => chainOf(chainFormat.read(bytes, 0, bytes.length)),
  bytes => ruleOf(ruleFormat.read(bytes, 0, bytes.length)),
  bytes => {
    const found = setOf(setFormat.read(bytes, 0, bytes.length))
    return new ElementLayout(found).decode([{ key: new Uint8Array(4) }])
  },
  bytes => objectOf(objectFormat.read(bytes, 0, bytes.length)),
  bytes => {
    const { elements = [] } = elementsFormat.read(bytes, 0, bytes.length)
    for (const layout of layouts) layout.decode(elements as WireElement[])
  },
]

/** Attributes that are whole, one in the other, with numbers that mean something. */
const attributes: fc.Arbitrary<Buffer> = fc.letrec<{ one: Buffer; many: Buffer }>(tie => ({
  many: fc.array(tie('one'), { maxLength: 5 }).map(parts => Buffer.concat(parts)),
  one: fc
    .tuple(
      fc.integer({ min: 1, max: 20 }),
      fc.oneof(
        { maxDepth: 4 },
        fc.uint8Array({ maxLength: 20 }),
        fc
          .constantFrom('limit', 'cmp', 'dynset', 'lookup', 'x')
          .map(name => Buffer.from(`${name}\0`)),
        tie('many'),
      ),
    )
    .map(([type, body]) => {
      const out = Buffer.alloc((4 + body.length + 3) & ~3)
      out.writeUInt16LE(4 + body.length, 0)
      out.writeUInt16LE(type, 2)
      out.set(body, 4)
      return out
    }),
})).many

t.test('any bytes are a value or an error of this package', async t => {
  const check = (bytes: Uint8Array) => {
    for (const read of readers) harmless(() => read(Buffer.from(bytes)))
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 2000 })
  const headed = attributes.map(body => Buffer.concat([Buffer.from([2, 0, 0, 0]), body]))
  fc.assert(fc.property(headed, check), { numRuns: 4000 })
  t.pass()
})

t.test('mutated messages too', async t => {
  const write = <T>(format: Format<T>, value: T) => {
    const to = new Writer()
    format.write(to, value)
    return Buffer.from(to.finish())
  }
  const wire: WireElement[] = []
  layouts[0]?.encode('e', '10.0.0.0/8', wire)
  layouts[0]?.encode('e', { key: '11.0.0.1', comment: 'x', timeout: 5 }, wire)
  const messages = [
    write(ruleFormat, {
      table: 't',
      chain: 'c',
      expressions: [
        { kind: 'limit', rate: 1n, unit: 1n },
        { kind: 'dynset', set: 's', expression: { kind: 'counter', bytes: 1n } },
        { kind: 'cmp', sreg: 1, op: 'eq', data: new Uint8Array(4) },
        { kind: 'immediate', dreg: 0, data: { verdict: { code: 'jump', chain: 'x' } } },
      ],
    }),
    write(elementsFormat, { table: 't', set: 's', elements: wire } as never),
    write(setFormat, { table: 't', name: 's', keyType: 7, keyLength: 4, flags: ['interval'] }),
  ]
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 })
  fc.assert(
    fc.property(fc.constantFrom(...messages), changes, (message, changed) => {
      const bytes = Buffer.from(message)
      for (const [place, value] of changed) bytes[place % bytes.length] = value
      for (const read of readers) harmless(() => read(bytes))
    }),
    { numRuns: 4000 },
  )
  t.pass()
})

const octet = fc.nat(255)
const address = fc.tuple(octet, octet, octet, octet).map(parts => parts.join('.'))
const number = (text: string) => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

t.test('elements come back as they went', async t => {
  const keys = fc.oneof(
    address,
    fc.tuple(address, address).map(pair => {
      const [from, to] = pair.sort((a, b) => number(a) - number(b)) as [string, string]
      return from === to ? from : { from, to }
    }),
  )
  const through = (layout: ElementLayout, keys: Parameters<ElementLayout['encode']>[1][]) => {
    const wire: WireElement[] = []
    for (const key of keys) layout.encode('key', key, wire)
    const to = new Writer()
    elementsFormat.write(to, { elements: wire } as never)
    const bytes = Buffer.from(to.finish())
    const { elements = [] } = elementsFormat.read(bytes, 0, bytes.length)
    return layout.decode(elements as WireElement[])
  }
  const bounds = (key: unknown): [number, number] => {
    if (typeof key === 'object') {
      const { from, to } = key as { from: string; to: string }
      return [number(from), number(to)]
    }
    const [start = '', size] = String(key).split('/')
    const first = number(start)
    return [first, size === undefined ? first : first + 2 ** (32 - Number(size)) - 1]
  }
  fc.assert(
    fc.property(keys, key => {
      const [found, ...more] = through(layouts[0] as ElementLayout, [key])
      if (more.length > 0) throw new Error('more than one')
      const [a, b] = [bounds(key), bounds(found?.key)]
      return a[0] === b[0] && a[1] === b[1]
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(address, fc.nat(65535), fc.nat(0xffffffff), (ip, port, value) => {
      const [found] = through(layouts[1] as ElementLayout, [{ key: [ip, port], value }])
      t.same(found, { key: [ip, port], value })
    }),
    { numRuns: 200 },
  )
})

t.test('comments are kept beside what others have put there', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      userdataParts(bytes)
      readUserdata(bytes)
    }),
  )
  const comment = fc
    .string({ unit: 'grapheme', maxLength: 20 })
    .filter(text => !text.includes('\0'))
  fc.assert(
    fc.property(comment, fc.uint8Array({ maxLength: 20 }), (text, other) => {
      const rest = Uint8Array.from([9, other.length, ...other])
      t.same(readUserdata(writeUserdata(text, rest)), { comment: text, userdata: rest })
    }),
    { numRuns: 100 },
  )
  const to = new Writer()
  expressionsCodec.write(to, [])
  t.equal(to.length, 0)
})
