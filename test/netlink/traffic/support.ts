import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { inNetns, type Netns, netns, wire } from '../../support/netns.js'

/** Two network namespaces, `v0` 10.9.0.1 in one and `v1` 10.9.0.2 in the other, which are a pair. */
export async function pair(t: Test): Promise<[Netns, Netns]> {
  const [a, b] = [await netns(t), await netns(t)]
  await wire(
    { ns: a, device: 'v0', addresses: ['10.9.0.1/24'] },
    { ns: b, device: 'v1', addresses: ['10.9.0.2/24'] },
  )
  return [a, b]
}

/** Undefined when the kernel has it; otherwise why a test of it is skipped. */
export async function lacks(ns: Netns, ...argv: string[]): Promise<string | undefined> {
  try {
    await inNetns(ns, ...argv)
    return undefined
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string }
    return `this kernel lacks it: ${argv.join(' ')}: ${stderr.trim().split('\n')[0]}`
  }
}

const RECEIVE = `
  let begin, size = 0
  require('node:net').createServer(one => {
    one.on('data', bytes => { begin ??= process.hrtime.bigint(); size += bytes.length })
    one.on('close', () => {
      console.log(size * 8e9 / Number(process.hrtime.bigint() - begin))
      process.exit()
    })
    one.on('error', () => {})
  }).listen(5001, () => console.log('ready'))`
const SEND = `
  const one = require('node:net').connect(5001, process.argv[1])
  const bytes = Buffer.alloc(65536)
  const more = () => { while (one.write(bytes)); }
  one.on('drain', more)
  one.on('connect', more)
  setTimeout(() => { one.resetAndDestroy(); process.exit() }, Number(process.argv[2]))`

/** Bits a second that a stream of TCP from one namespace to an address in another has. */
export async function streamed(
  from: Netns,
  to: Netns,
  address: string,
  time = 2000,
): Promise<number> {
  const start = (ns: Netns, ...argv: string[]) =>
    spawn('nsenter', [`--net=${ns.path}`, '--', process.execPath, ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  const receiver = start(to, '-e', RECEIVE)
  let said = ''
  receiver.stdout.on('data', bytes => {
    said += bytes
  })
  await once(receiver.stdout, 'data')
  const sender = start(from, '-e', SEND, address, `${time}`)
  await once(receiver, 'close')
  sender.kill('SIGKILL')
  return Number(said.split('\n')[1])
}
