import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, type Netns, netns } from '../../support/netns.js'
import { lacks, pair } from '../traffic/support.js'

const wg = (...args: string[]) => execFileSync('wg', args).toString().trim()
const publicKey = (key: string) => execFileSync('wg', ['pubkey'], { input: key }).toString().trim()

/** A device wg0 in a namespace, or the reason why there is none. */
async function device(t: Test, name = 'wg0'): Promise<Netns | string> {
  const ns = await netns(t)
  return (await lacks(ns, 'ip', 'link', 'add', name, 'type', 'wireguard')) ?? ns
}

/** `wg show wg0 dump`, in its columns. */
async function shown(ns: Netns): Promise<string[][]> {
  return (await inNetns(ns, 'wg', 'show', 'wg0', 'dump'))
    .trim()
    .split('\n')
    .map(line => line.split('\t'))
}

t.test('what is set shows in wg, and what wg sets shows here', needsRoot, async t => {
  const ns = await device(t)
  if (typeof ns === 'string') return void t.pass('wireguard', { skip: ns })
  await using nl = await netlink.open({ netns: ns.path })
  const privateKey = wg('genkey')
  const presharedKey = wg('genpsk')
  const peers = [publicKey(wg('genkey')), publicKey(wg('genkey'))] as const
  await nl.wireguard.set('wg0', {
    privateKey,
    listenPort: 51999,
    mark: 0x77,
    peers: [
      {
        publicKey: peers[0],
        presharedKey,
        endpoint: '192.0.2.1:4567',
        keepalive: 25,
        allowedIps: ['10.1.0.0/16', '2001:db8::/32', '10.9.9.9'],
      },
      { publicKey: peers[1], endpoint: '[2001:db8::7]:99', allowedIps: [] },
    ],
  })
  const [first, second, third] = await shown(ns)
  t.same(first, [privateKey, publicKey(privateKey), '51999', '0x77'])
  t.same(second?.[3]?.split(',').sort(), ['10.1.0.0/16', '10.9.9.9/32', '2001:db8::/32'])
  t.match(second, [peers[0], presharedKey, '192.0.2.1:4567', String, '0', '0', '0', '25'])
  t.same(third, [peers[1], '(none)', '[2001:db8::7]:99', '(none)', '0', '0', '0', 'off'])
  const own = await nl.wireguard.get('wg0')
  t.match(own, {
    name: 'wg0',
    privateKey,
    publicKey: publicKey(privateKey),
    listenPort: 51999,
    mark: 0x77,
    peers: [
      { publicKey: peers[0], presharedKey, endpoint: '192.0.2.1:4567', keepalive: 25, rxBytes: 0n },
      {
        publicKey: peers[1],
        presharedKey: undefined,
        endpoint: '[2001:db8::7]:99',
        allowedIps: [],
      },
    ],
  })
  t.same([...(own.peers[0]?.allowedIps ?? [])].sort(), [
    '10.1.0.0/16',
    '10.9.9.9/32',
    '2001:db8::/32',
  ])
  t.same(await nl.wireguard.get(own.index), own, 'by its number too')

  await inNetns(
    ns,
    'wg',
    'set',
    'wg0',
    'listen-port',
    '52000',
    'peer',
    peers[1],
    'allowed-ips',
    '172.16.0.0/12',
    'persistent-keepalive',
    '7',
  )
  const changed = await nl.wireguard.get('wg0')
  t.match(changed, {
    listenPort: 52000,
    peers: [{}, { keepalive: 7, allowedIps: ['172.16.0.0/12'] }],
  })

  // Allowed addresses are added, or replaced; peers too.
  await nl.wireguard.set('wg0', {
    peers: [{ publicKey: peers[1], allowedIps: ['172.32.0.0/16'], replaceAllowedIps: false }],
  })
  t.equal((await nl.wireguard.get('wg0')).peers[1]?.allowedIps.length, 2)
  await nl.wireguard.set('wg0', { peers: [{ publicKey: peers[1], allowedIps: ['172.33.0.0/16'] }] })
  t.same((await nl.wireguard.get('wg0')).peers[1]?.allowedIps, ['172.33.0.0/16'])
  await nl.wireguard.set('wg0', { peers: [{ publicKey: peers[0], presharedKey: null }] })
  t.equal((await shown(ns))[1]?.[1], '(none)')
  await nl.wireguard.set('wg0', { peers: [{ publicKey: peers[0], remove: true }] })
  t.same(
    (await nl.wireguard.get('wg0')).peers.map(one => one.publicKey),
    [peers[1]],
  )
  await nl.wireguard.set('wg0', {
    peers: [{ publicKey: publicKey(wg('genkey')), updateOnly: true, keepalive: 3 }],
  })
  t.equal((await nl.wireguard.get('wg0')).peers.length, 1, 'updateOnly makes none')
  await nl.wireguard.set('wg0', { privateKey: null, replacePeers: true })
  t.match(await nl.wireguard.get('wg0'), { privateKey: undefined, peers: [] })
})

t.test('many peers, and a peer with many addresses', needsRoot, async t => {
  const ns = await device(t)
  if (typeof ns === 'string') return void t.pass('wireguard', { skip: ns })
  await using nl = await netlink.open({ netns: ns.path })
  const many = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`)
  const peers = Array.from({ length: 400 }, (_, i) => ({
    publicKey: randomBytes(32).toString('base64'),
    allowedIps: i === 200 ? many : [`172.16.${i >> 8}.${i & 255}/32`],
  }))
  await nl.wireguard.set('wg0', { peers })
  const rows = await shown(ns)
  t.equal(rows.length, 401)
  const theirs = new Map(
    rows.slice(1).map(([key, , , allowed = '']) => [key, allowed.split(',').sort()]),
  )
  const mine = (await nl.wireguard.get('wg0')).peers
  t.equal(mine.length, 400)
  for (const { publicKey, allowedIps } of peers) {
    const sorted = [...allowedIps].sort()
    if (`${theirs.get(publicKey)}` !== `${sorted}`) t.fail(`wg has others: ${publicKey}`)
    const found = mine.find(one => one.publicKey === publicKey)
    if (`${[...(found?.allowedIps ?? [])].sort()}` !== `${sorted}`) t.fail(`others: ${publicKey}`)
  }
})

t.test('two namespaces shake hands', needsRoot, async t => {
  const [a, b] = await pair(t)
  const missing = await lacks(a, 'ip', 'link', 'add', 'wg0', 'type', 'wireguard')
  if (missing !== undefined) return void t.pass('wireguard', { skip: missing })
  await inNetns(b, 'ip', 'link', 'add', 'wg0', 'type', 'wireguard')
  const keys = [wg('genkey'), wg('genkey')] as const
  for (const [ns, own, other] of [
    [a, 0, 1],
    [b, 1, 0],
  ] as const) {
    await using nl = await netlink.open({ netns: ns.path })
    await nl.wireguard.set('wg0', {
      privateKey: keys[own],
      listenPort: 51820,
      peers: [
        {
          publicKey: publicKey(keys[other]),
          endpoint: `10.9.0.${other + 1}:51820`,
          allowedIps: [`10.7.0.${other + 1}/32`],
          keepalive: 1,
        },
      ],
    })
    await inNetns(ns, 'ip', 'address', 'add', `10.7.0.${own + 1}/24`, 'dev', 'wg0')
    await inNetns(ns, 'ip', 'link', 'set', 'wg0', 'up')
  }
  // A port where nobody listens: what says so came through the tunnel.
  const script = `
    require('node:net').connect(9, '10.7.0.2').on('error', error => console.log(error.code))`
  t.equal((await inNetns(a, process.execPath, '-e', script)).trim(), 'ECONNREFUSED')
  await using nl = await netlink.open({ netns: a.path })
  let [peer] = (await nl.wireguard.get('wg0')).peers
  for (let i = 0; i < 50 && peer?.lastHandshake === undefined; i++) {
    await sleep(100)
    ;[peer] = (await nl.wireguard.get('wg0')).peers
  }
  t.ok(Math.abs(Date.now() - (peer?.lastHandshake?.getTime() ?? 0)) < 60_000)
  t.ok((peer?.rxBytes ?? 0n) > 0n && (peer?.txBytes ?? 0n) > 0n)
  const [, row = []] = await shown(a)
  t.equal(Math.floor((peer?.lastHandshake?.getTime() ?? 0) / 1000), Number(row[4]))
})

t.test('what can not be right is refused, and keys are not repeated', async t => {
  await using nl = await netlink.open()
  const refused = async (options: object, option: RegExp) => {
    const error = await nl.wireguard.set('lo', options as never).catch(e => e)
    t.equal(error.code, 'ERR_INVALID_OPTION')
    t.match(error.option, option)
    t.notMatch(error.message, /secret/)
  }
  const key = randomBytes(32).toString('base64')
  await refused({ privateKey: 'secret' }, /privateKey/)
  await refused({ listenPort: 65536 }, /listenPort/)
  await refused({ port: 1 }, /port/)
  await refused({ peers: [{}] }, /peers\.0\.publicKey/)
  await refused({ peers: [{ publicKey: key, endpoint: '1.2.3.4' }] }, /peers\.0\.endpoint/)
  await refused({ peers: [{ publicKey: key, allowedIps: ['10.0.0.0/33'] }] }, /allowedIps/)
  await refused({ peers: [{ publicKey: key, presharedKey: 'secret' }] }, /presharedKey/)
})
