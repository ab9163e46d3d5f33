// A link that is only so fast, each way as fast as is asked: what one end sends waits in a queue
// of its own (a token bucket), and so does what the other end sends back. A stream each way is
// timed before and after.
//
//   sudo node out/examples/shaped-link.js [up] [down]     default: 20mbit 5mbit
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { netlink } from 'cofferdam'

const [up = '20mbit', down = '5mbit'] = process.argv.slice(2)
const SECONDS = 1

/** A process in a network namespace of its own, which lasts as long as it. */
async function namespace() {
  const script = `setInterval(() => {}, 1e6); console.log('ready')`
  const child = spawn('unshare', ['--net', process.execPath, '-e', script])
  await once(child.stdout, 'data')
  return child
}

/** Runs a script of Node's in a network namespace. */
function inside(netns: string, script: string) {
  return spawn('nsenter', [`--net=${netns}`, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Megabits in a second of a stream from one namespace to another: what arrives, while it does. */
async function measure(from: string, to: string, address: string): Promise<number> {
  const receiver = inside(
    to,
    `require('node:net').createServer(socket => {
      let begin, bytes = 0
      socket.on('data', data => { begin ??= performance.now(); bytes += data.length })
      const end = () => { console.log(bytes * 8 / 1e3 / (performance.now() - begin)); process.exit() }
      setTimeout(end, ${SECONDS * 1000})
    }).listen(7, '${address}', () => console.log('ready'))`,
  )
  await once(receiver.stdout, 'data')
  const sender = inside(
    from,
    `const socket = require('node:net').connect(7, '${address}').on('error', () => process.exit())
    const more = () => { while (socket.write(Buffer.alloc(65536))); }
    socket.on('drain', more).on('connect', more)`,
  )
  const [printed] = await once(receiver.stdout, 'data')
  sender.kill('SIGKILL')
  return Number(printed)
}

const [left, right] = await Promise.all([namespace(), namespace()])
try {
  const [here, there] = [`/proc/${left.pid}/ns/net`, `/proc/${right.pid}/ns/net`]
  await using nl = await netlink.open({ netns: here })
  await using peer = await netlink.open({ netns: there })
  await nl.links.create({
    kind: 'veth',
    name: 'eth0',
    up: true,
    peer: { name: 'eth0', netns: there },
  })
  await peer.links.set('eth0', { up: true })
  await nl.addresses.create({ device: 'eth0', address: '10.98.0.1/24' })
  await peer.addresses.create({ device: 'eth0', address: '10.98.0.2/24' })

  const both = async (title: string) => {
    const sent = await measure(here, there, '10.98.0.2')
    const got = await measure(there, here, '10.98.0.1')
    console.log(`${title.padEnd(6)} up ${sent.toFixed(1)} Mbit/s, down ${got.toFixed(1)} Mbit/s`)
  }
  await both('free')
  // A bucket holds a few packets more than there is time for: what waits longer than 50 ms is dropped.
  const bucket = { device: 'eth0', kind: 'tbf', burst: '16KiB', latency: '50ms' } as const
  await nl.qdiscs.create({ ...bucket, rate: up })
  await peer.qdiscs.create({ ...bucket, rate: down })
  await both('shaped')
} finally {
  left.kill('SIGKILL')
  right.kill('SIGKILL')
}
