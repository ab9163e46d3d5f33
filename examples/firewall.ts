// A firewall in a network namespace of its own: rules that read as they act, and what they let
// through, tried by connections from outside.
//
//   sudo node out/examples/firewall.js
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { netlink } from 'cofferdam'

const { concat, counter, ct, drop, icmp, ip, limit, log, meta, reject, tcp, accept } = netlink.nft

/** A process in a network namespace of its own, which lasts as long as it. */
async function namespaceOf(script: string, ...args: string[]) {
  const argv = ['--net', process.execPath, '-e', script, ...args]
  const child = spawn('unshare', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

const PORTS = [22, 80, 443, 5432, 6379]
const server = await namespaceOf(
  `
  for (const port of process.argv.slice(1)) require('node:net').createServer(s => s.end()).listen(+port, '0.0.0.0')
  setTimeout(() => console.log('ready'), 200)`,
  ...PORTS.map(String),
)
const client = await namespaceOf(`setInterval(() => {}, 1e6); console.log('ready')`)
const [inside, outside] = [`/proc/${server.pid}/ns/net`, `/proc/${client.pid}/ns/net`]

/** What becomes of a connection to a port. */
async function attempt(port: number): Promise<string> {
  const script = `
    const s = require('node:net').connect(${port}, '10.99.0.1')
    const end = what => { console.log(what); process.exit() }
    s.on('connect', () => end('let through')).on('error', e => end(e.code === 'ECONNREFUSED' ? 'refused' : e.code))
    setTimeout(() => end('dropped'), 500)`
  const child = spawn('nsenter', [`--net=${outside}`, process.execPath, '-e', script])
  const [printed] = await once(child.stdout, 'data')
  return String(printed).trim()
}

try {
  await using nl = await netlink.open({ netns: inside })
  await using peer = await netlink.open({ netns: outside })
  await nl.links.create({
    kind: 'veth',
    name: 'eth0',
    up: true,
    peer: { name: 'eth0', netns: outside },
  })
  await peer.links.set('eth0', { up: true })
  await nl.addresses.create({ device: 'eth0', address: '10.99.0.1/24' })
  await peer.addresses.create({ device: 'eth0', address: '10.99.0.2/24' })

  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 'firewall', comment: 'of the example' })
      .object('web', { type: 'counter' })
      .set('databases', { type: ['ipv4_addr', 'inet_service'], interval: true }, [
        ['10.99.0.0/28', 5432],
      ])
      .chain('input', { hook: 'input', policy: 'drop' })
      .rule('input', ct.state('established', 'related'), accept())
      .rule('input', ct.state('invalid'), drop())
      .rule('input', meta.iifname('lo'), accept())
      .rule('input', icmp.type('echo-request'), limit(10), accept())
      .rule('input', tcp.dport(80, 443), counter('web'), accept())
      .rule('input', concat(ip.saddr, tcp.dport).in('databases'), accept())
      .rule('input', tcp.dport(22), log({ prefix: 'ssh: ' }), reject('tcp reset'))
  })

  for (const port of PORTS) console.log(`port ${`${port}`.padEnd(5)} ${await attempt(port)}`)
  const [web] = await nl.nftables.list('object', { name: 'web' })
  console.log(`counted for the web: ${web?.counter?.packets} packets`)
} finally {
  server.kill('SIGKILL')
  client.kill('SIGKILL')
}
