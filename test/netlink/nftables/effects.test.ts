import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, type Netns, netns, wire } from '../../support/netns.js'

const n = netlink.nft
const SERVER = '10.7.0.1'
const OTHER = '10.7.0.2'
const CLIENT = '10.7.0.9'

/** A server and a client in namespaces of their own, with a wire between them. */
async function wired(t: Test): Promise<{ server: Netns; client: Netns }> {
  const [server, client] = [await netns(t), await netns(t)]
  await wire(
    { ns: server, device: 'v0', addresses: [`${SERVER}/24`, `${OTHER}/24`] },
    { ns: client, device: 'v1', addresses: [`${CLIENT}/24`] },
  )
  return { server, client }
}

const LISTEN = `
const net = require('node:net')
let open = 0
for (const port of process.argv.slice(1)) {
  const server = net.createServer(s => s.end(port + ' ' + s.remoteAddress))
  server.listen(Number(port), '0.0.0.0', () => { if (++open === process.argv.length - 1) console.log('ready') })
}`

/** Answers connections to these ports with the port and who asks. */
async function listening(t: Test, ns: Netns, ...ports: number[]): Promise<void> {
  const argv = [`--net=${ns.path}`, process.execPath, '-e', LISTEN, ...ports.map(String)]
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
}

const CONNECT = `
const net = require('node:net')
const [address, port] = process.argv.slice(1)
const s = net.connect(Number(port), address)
const end = what => { process.stdout.write(what); process.exit() }
s.on('data', d => end(String(d))).on('error', e => end(e.code))
setTimeout(() => end('silence'), 700)`

/** What the answer is: of the server, the error, or `silence`. */
const connect = (ns: Netns, address: string, port: number) =>
  inNetns(ns, process.execPath, '-e', CONNECT, address, `${port}`)

const SEND = `
const socket = require('node:dgram').createSocket('udp4')
const [address, port, count] = process.argv.slice(1)
let left = Number(count)
const send = () => left-- > 0 ? socket.send('x', Number(port), address, send) : socket.close()
send()`

t.test('packets are let through, dropped, refused and counted', needsRoot, async t => {
  const { server, client } = await wired(t)
  await listening(t, server, 80, 81, 82, 83)
  await using nl = await netlink.open({ netns: server.path })
  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 't' })
      .object('hits', { type: 'counter' })
      .set('good', { type: ['ipv4_addr', 'inet_service'] }, [[CLIENT, 84]])
      .chain('in', { hook: 'input' })
      .rule('in', n.tcp.dport(80), n.counter('hits'), n.accept())
      .rule('in', n.tcp.dport(81), n.drop())
      .rule('in', n.tcp.dport(82), n.reject('tcp reset'))
      .rule('in', n.concat(n.ip.saddr, n.tcp.dport).in('good'), n.reject('host-unreachable'))
  })
  t.equal(await connect(client, SERVER, 80), `80 ${CLIENT}`)
  t.equal(await connect(client, SERVER, 81), 'silence')
  t.equal(await connect(client, SERVER, 82), 'ECONNREFUSED')
  t.equal(await connect(client, SERVER, 83), `83 ${CLIENT}`)
  t.equal(await connect(client, SERVER, 84), 'EHOSTUNREACH')
  const [hits] = await nl.nftables.list('object', { name: 'hits' })
  t.ok((hits?.counter?.packets ?? 0n) >= 3n, 'the connection to port 80 has been counted')
  await nl.nftables.flush()
  t.equal(await connect(client, SERVER, 81), `81 ${CLIENT}`)
})

t.test('sets and maps of verdicts decide, and can be changed', needsRoot, async t => {
  const { server, client } = await wired(t)
  await listening(t, server, 80, 81)
  await using nl = await netlink.open({ netns: server.path })
  const blocked = {
    family: 'inet',
    table: 't',
    name: 'blocked',
    type: 'ipv4_addr',
    interval: true,
  } as const
  await nl.nftables.batch(b => {
    b.add('table', { family: 'inet', name: 't' }).add('set', blocked)
    b.table({ family: 'inet', name: 't' })
      .chain('refuse')
      .rule('refuse', n.reject('tcp reset'))
      .chain('in', { hook: 'input' })
      .rule('in', n.ip.saddr.in('blocked'), n.drop())
      .rule(
        'in',
        n.tcp.dport.verdict([
          [80, 'accept'],
          [{ from: 81, to: 90 }, 'jump refuse'],
        ]),
      )
  })
  t.equal(await connect(client, SERVER, 80), `80 ${CLIENT}`)
  t.equal(await connect(client, SERVER, 81), 'ECONNREFUSED')
  await nl.nftables.batch(b => b.add('elements', { set: blocked, elements: ['10.7.0.8/30'] }))
  t.equal(await connect(client, SERVER, 80), 'silence')
  await nl.nftables.batch(b => b.delete('elements', { set: blocked, elements: ['10.7.0.8/30'] }))
  t.equal(await connect(client, SERVER, 80), `80 ${CLIENT}`)
})

t.test('destinations and sources are translated', needsRoot, async t => {
  const { server, client } = await wired(t)
  await listening(t, server, 80, 8080)
  await using atServer = await netlink.open({ netns: server.path })
  await atServer.nftables.batch(b => {
    b.table({ family: 'ip', name: 't' })
      .chain('pre', { type: 'nat', hook: 'prerouting', priority: 'dstnat' })
      .rule('pre', n.tcp.dport(1080), n.dnat({ address: OTHER, port: 80 }))
      .rule('pre', n.tcp.dport(1081), n.redirect(8080))
  })
  t.equal(await connect(client, SERVER, 1080), `80 ${CLIENT}`)
  t.equal(await connect(client, SERVER, 1081), `8080 ${CLIENT}`)
  await inNetns(client, 'ip', 'address', 'add', '10.7.0.77/24', 'dev', 'v1')
  await using atClient = await netlink.open({ netns: client.path })
  await atClient.nftables.batch(b => {
    b.table({ family: 'inet', name: 't' })
      .chain('post', { type: 'nat', hook: 'postrouting', priority: 'srcnat' })
      .rule('post', n.tcp.dport(80), n.snat({ address: '10.7.0.77' }))
  })
  t.equal(await connect(client, SERVER, 80), '80 10.7.0.77')
  t.equal(await connect(client, SERVER, 8080), `8080 ${CLIENT}`)
})

t.test('masquerading hides who is behind', needsRoot, async t => {
  const { server, client } = await wired(t)
  const behind = await netns(t)
  await inNetns(
    client,
    'ip',
    'link',
    'add',
    'w0',
    'type',
    'veth',
    'peer',
    'name',
    'w1',
    'netns',
    `${behind.pid}`,
  )
  await inNetns(
    client,
    'sh',
    '-c',
    'ip address add 10.8.0.1/24 dev w0; ip link set w0 up; echo 1 > /proc/sys/net/ipv4/ip_forward',
  )
  await inNetns(
    behind,
    'sh',
    '-c',
    'ip address add 10.8.0.2/24 dev w1; ip link set w1 up; ip route add default via 10.8.0.1',
  )
  await listening(t, server, 80)
  t.not(await connect(behind, SERVER, 80), `80 ${CLIENT}`)
  await using nl = await netlink.open({ netns: client.path })
  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 't' })
      .chain('post', { type: 'nat', hook: 'postrouting', priority: 'srcnat' })
      .rule('post', n.meta.oifname('v1'), n.ip.saddr('10.8.0.0/24'), n.masquerade())
  })
  t.equal(await connect(behind, SERVER, 80), `80 ${CLIENT}`)
})

t.test('a limit lets so many through', needsRoot, async t => {
  const { server, client } = await wired(t)
  await using nl = await netlink.open({ netns: server.path })
  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 't' })
      .object('through', { type: 'counter' })
      .object('beyond', { type: 'counter' })
      .chain('in', { hook: 'input' })
      .rule(
        'in',
        n.udp.dport(9),
        n.limit(1, { per: 'hour', burst: 4 }),
        n.counter('through'),
        n.accept(),
      )
      .rule('in', n.udp.dport(9), n.counter('beyond'), n.drop())
  })
  await inNetns(client, process.execPath, '-e', SEND, SERVER, '9', '12')
  const packets = async (name: string) =>
    (await nl.nftables.list('object', { name }))[0]?.counter?.packets
  t.equal(await packets('through'), 4n)
  t.equal(await packets('beyond'), 8n)
})
