import { CofferdamError, netlink } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { addressFormat } from '#lib/netlink/route/address-format.js'
import { neighbourFormat } from '#lib/netlink/route/neighbour-format.js'
import { routeFormat } from '#lib/netlink/route/route-format.js'
import { ruleFormat } from '#lib/netlink/route/rule-format.js'
import { vlanFormat } from '#lib/netlink/route/vlan-format.js'
import { needsRoot } from '../support/index.js'
import { inNetns, ip, netns } from '../support/netns.js'

const { attribute, attributes, format, list, message, struct, text, u8, u16, u32, u64 } = netlink
const { be16, be32, be64, s8, s32, s64, octets, bytes, oneOf, flagSet, bool8, presence } = netlink

/** The body of a message as it is sent. */
function bodyOf<T>(body: netlink.Format<T>, value: T): Buffer {
  return message('RTM_TEST', 16, 0, body, value).bytes.subarray(netlink.MESSAGE_HEADER)
}

/** What a codec reads of what it has written. */
function again<T>(codec: netlink.Codec<T>, value: T): T {
  const to = new netlink.Writer()
  codec.write(to, value)
  const out = to.finish()
  return codec.read(out, 0, out.length)
}

t.test('bytes of a message that is known byte for byte', async t => {
  const body = format(
    struct({ family: u8, pad: 3, index: s32 }),
    attributes({
      name: attribute('A_NAME', 3, text(16)),
      nested: attribute('A_NESTED', 18, attributes({ port: attribute('B_PORT', 1, be16) })),
      there: attribute('A_THERE', 4, presence),
    }),
  )
  const { bytes: sent } = message('RTM_TEST', 0x1234, 0x400, body, {
    family: 2,
    index: -1,
    name: 'eth0',
    nested: { port: 80 },
    there: true,
  })
  t.equal(
    sent.toString('hex'),
    [
      '34000000' + '3412' + '0104' + '00000000' + '00000000', // nlmsghdr
      '02000000' + 'ffffffff',
      '0900' + '0300' + '6574683000' + '000000',
      '0c00' + '1280' + '0600' + '0100' + '0050' + '0000',
      '0400' + '0400',
    ].join(''),
  )
})

t.test('each kind of value is read as it was written', async t => {
  const check = <T>(codec: netlink.Codec<T>, values: fc.Arbitrary<T>) =>
    fc.assert(
      fc.property(values, value => t.same(again(codec, value), value) || true),
      {
        numRuns: 50,
      },
    )
  const whole = (min: number, max: number) => fc.integer({ min, max })
  check(u8, whole(0, 0xff))
  check(u16, whole(0, 0xffff))
  check(be16, whole(0, 0xffff))
  check(u32, whole(0, 0xffffffff))
  check(be32, whole(0, 0xffffffff))
  check(s8, whole(-0x80, 0x7f))
  check(s32, whole(-0x80000000, 0x7fffffff))
  check(u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
  check(be64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
  check(s64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
  check(bool8, fc.boolean())
  check(octets(6), fc.uint8Array({ minLength: 6, maxLength: 6 }))
  check(bytes, fc.uint8Array())
  check(
    text(),
    fc.string({ unit: 'grapheme' }).filter(value => !value.includes('\0')),
  )
  check(netlink.ip, fc.ipV4())
  check(
    netlink.mac,
    fc.uint8Array({ minLength: 6, maxLength: 6 }).map(b =>
      Buffer.from(b)
        .toString('hex')
        .replace(/(..)(?!$)/g, '$1:'),
    ),
  )
  check(oneOf({ one: 1, two: 2 }, u8), fc.constantFrom('one', 'two', 7) as fc.Arbitrary<'one'>)
  check(list(u16), fc.array(whole(0, 0xffff)))
  check(
    list(attributes({ a: attribute('A', 1, u8), b: attribute('B', 2, text()) }), 9),
    fc.array(fc.record({ a: whole(0, 255), b: fc.constantFrom('', 'x', 'four') })),
  )
  const names = { a: 1, b: 2, c: 0x80 } as const
  check(flagSet(names, u8), fc.subarray(['a', 'b', 'c']) as fc.Arbitrary<('a' | 'b' | 'c')[]>)
})

t.test('addresses of IPv6 are written in one way, and read in each', async t => {
  for (const [given, written] of [
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['fe80::', 'fe80::'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ] as const)
    t.equal(again(netlink.ip, given), written)
  fc.assert(
    fc.property(fc.ipV6(), given => {
      const once = again(netlink.ip, given)
      // The standard library's own idea of the same address.
      const host = (address: string) => new URL(`http://[${address}]/`).hostname
      t.equal(again(netlink.ip, once), once)
      t.equal(host(once), host(given))
    }),
  )
})

t.test('what does not fit is refused, naming the field', async t => {
  const inner = attributes({
    port: attribute('B_PORT', 1, be16),
    names: attribute('B_NAMES', 2, list(text(4))),
  })
  const body = format(
    struct({ family: u8 }),
    attributes({ inner: attribute('A_INNER', 1, inner), raw: attribute('A_RAW', 2, bytes) }),
  )
  const refused = (value: object, option: string) =>
    t.throws(() => message('RTM_TEST', 16, 0, body, value), { code: 'ERR_INVALID_OPTION', option })
  refused({ family: 256 }, 'family')
  refused({ family: 'x' }, 'family')
  refused({ family: 1.5 }, 'family')
  refused({ inner: { port: 65536 } }, 'inner.port')
  refused({ inner: { port: -1 } }, 'inner.port')
  refused({ inner: 5 }, 'inner')
  refused({ inner: { names: ['ok', 'long'] } }, 'inner.names.1')
  refused({ inner: { names: 'ok' } }, 'inner.names')
  refused({ raw: 'text' }, 'raw')
  refused({ other: 1 }, '')
})

t.test(
  'an attribute of more than 65,535 bytes is refused, and not cut off (CVE-2021-43784)',
  async t => {
    const body = format(
      struct({ family: u8 }),
      attributes({
        raw: attribute('A_RAW', 1, bytes),
        many: attribute('A_MANY', 2, list(bytes)),
        last: attribute('A_LAST', 3, u8),
      }),
    )
    const most = 0xffff - 4
    const fits = bodyOf(body, { raw: new Uint8Array(most).fill(7), last: 9 })
    t.match(body.read(fits, 0, fits.length), { last: 9 })
    t.equal(body.read(fits, 0, fits.length).raw?.length, most)
    const refused = (value: object, option: string) =>
      t.throws(() => bodyOf(body, value), { code: 'ERR_INVALID_OPTION', option })
    for (const more of [1, 4, 0x10000 - most, 0x10000])
      refused({ raw: new Uint8Array(most + more), last: 9 }, 'raw')
    // Parts of which each fits, and all together do not.
    refused({ many: [new Uint8Array(40_000), new Uint8Array(30_000)] }, 'many')
    refused({ many: [new Uint8Array(most + 1)] }, 'many.0')
  },
)

const formats: [string, netlink.Format<never>][] = [
  ['address', addressFormat],
  ['route', routeFormat],
  ['rule', ruleFormat],
  ['neighbour', neighbourFormat],
  ['vlan', vlanFormat],
].map(([name, of]) => [name as string, of as unknown as netlink.Format<never>])

/** A value, or the one error that there is for what can't be read; in a time that bytes bound. */
function reads(of: netlink.Format<unknown>, given: Uint8Array): boolean {
  const buffer = Buffer.from(given)
  const begin = process.cpuUsage()
  try {
    of.read(buffer, 0, buffer.length)
  } catch (error) {
    if (!(error instanceof CofferdamError) || error.code !== 'ERR_MALFORMED') throw error
  }
  const { user } = process.cpuUsage(begin)
  if (user > 2_000_000) throw new Error(`${user} µs for ${given.length} bytes`)
  return true
}

t.test('any bytes give a value or ERR_MALFORMED', async t => {
  for (const [name, of] of formats) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), given => reads(of, given)),
      { numRuns: 3000 },
    )
    // As attributes that are well formed, of all types, one in another.
    const nest = fc.letrec<{ tree: Uint8Array }>(tie => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.uint8Array({ maxLength: 40 }),
        fc
          .array(fc.tuple(fc.integer({ min: 0, max: 60 }), tie('tree')), { maxLength: 6 })
          .map(parts =>
            Buffer.concat(
              parts.map(([type, inside]) => {
                const whole = Buffer.alloc((4 + inside.length + 3) & ~3)
                whole.writeUInt16LE(4 + inside.length, 0)
                whole.writeUInt16LE(type, 2)
                whole.set(inside, 4)
                return whole
              }),
            ),
          ),
      ),
    })).tree
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), nest, (head, tree) =>
        reads(
          of,
          Buffer.concat([
            head.subarray(0, name === 'rule' || name === 'route' || name === 'neighbour' ? 12 : 16),
            tree,
          ]),
        ),
      ),
      { numRuns: 2000 },
    )
    t.pass(name)
  }
  // The worst that there can be for its length: nothing but empty attributes.
  const empty = Buffer.alloc(1 << 20)
  for (let at = 0; at < empty.length; at += 4) empty.writeUInt32LE(0x0009_0004, at)
  for (const [, of] of formats) t.ok(reads(of, empty))
})

t.test('any bytes are messages or ERR_MALFORMED', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), given => {
      let count = 0
      try {
        netlink.eachMessage(Buffer.from(given), () => {
          count++
        })
      } catch (error) {
        if (!(error instanceof CofferdamError) || error.code !== 'ERR_MALFORMED') throw error
      }
      return count <= given.length / netlink.MESSAGE_HEADER
    }),
    { numRuns: 5000 },
  )
  t.pass()
})

t.test(
  'what the kernel has sent, changed in places, gives a value or ERR_MALFORMED',
  needsRoot,
  async t => {
    const ns = await netns(t)
    const said = (...args: string[]) => inNetns(ns, 'ip', ...args)
    await said('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    await said('link', 'set', 'v0', 'up')
    await said('link', 'set', 'v1', 'up')
    await said('address', 'add', 'fd00::5/64', 'dev', 'v0', 'nodad')
    await said(
      'address',
      'add',
      '10.0.0.1/24',
      'dev',
      'v0',
      'label',
      'v0:x',
      'valid_lft',
      '99',
      'preferred_lft',
      '9',
    )
    await said(
      'route',
      'add',
      '10.1.0.0/16',
      'mtu',
      '1400',
      'congctl',
      'cubic',
      'nexthop',
      'via',
      '10.0.0.2',
      'weight',
      '2',
      'nexthop',
      'via',
      'inet6',
      'fd00::1',
      'dev',
      'v0',
    )
    await said('-6', 'route', 'add', 'fd77::/16', 'dev', 'v0', 'expires', '90', 'pref', 'low')
    await said('rule', 'add', 'fwmark', '1/3', 'sport', '1-2', 'uidrange', '1-2', 'table', '999')
    await said('neighbour', 'add', '10.0.0.3', 'lladdr', '02:00:00:00:00:01', 'dev', 'v0')
    await ip(ns, 'link', 'show')
    const asked = [
      [addressFormat, 22],
      [routeFormat, 26],
      [ruleFormat, 34],
      [neighbourFormat, 30],
    ] as const
    await using socket = await netlink.NetlinkSocket.open('route', ns.path)
    for (const [of, type] of asked) {
      const raw = of as unknown as netlink.Format<object>
      const captured: Buffer[] = []
      const capture: netlink.Format<object> = {
        ...raw,
        read(from, start, end) {
          captured.push(Buffer.from(from.subarray(start, end)))
          return {}
        },
      }
      await socket.dump(message('RTM_GET', type, 0, raw, {}), capture)
      t.ok(captured.length > 0)
      for (const one of captured) {
        // What is known of it is written so that it is read the same.
        const value = raw.read(one, 0, one.length)
        const written = bodyOf(raw, value)
        t.same(raw.read(written, 0, written.length), value)
      }
      const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 })
      fc.assert(
        fc.property(fc.constantFrom(...captured), change, fc.nat(), (whole, changes, length) => {
          const changed = Buffer.from(whole)
          for (const [at, value] of changes) changed[at % changed.length] = value
          return reads(of, changed) && reads(of, changed.subarray(0, length % (changed.length + 1)))
        }),
        { numRuns: 3000 },
      )
    }
  },
)
