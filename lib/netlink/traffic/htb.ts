import { onlyKeys, parseSize, type Size } from '../../base/index.js'
import { attribute, attributes, struct, u32, u64 } from '../codec/index.js'
import { decoded, encoded, type Kind } from './kind.js'
import { rateOf, rateSpec, specOf, wideOf } from './rates.js'
import { bytesPerSecond, type Rate, sizeOf, ticksOf } from './values.js'

/** Hierarchical token buckets: classes that share a rate. tc-htb(8) */
export interface HtbOptions {
  kind: 'htb'
  /** Class of what no filter classifies: its minor number, as 0x10 for `1:10`. Default: 0, unshaped. */
  default?: number
  /** What divides a class's rate to give its quantum. Default: 10. */
  rateToQuantum?: number
  /** Packets that may wait to be sent unshaped. */
  directQueue?: number
}

/** A class of htb. tc-htb(8) */
export interface HtbClassOptions {
  kind: 'htb'
  /** What it has for itself. */
  rate: Rate
  /** What it has at most, with what others leave. Default: the rate. */
  ceil?: Rate
  /** Bytes that go at once at the rate. Default: what tc takes, a packet's and 1 ns of the rate. */
  burst?: Size
  /** Bytes that go at once at the ceil. */
  ceilBurst?: Size
  /** Bytes that it sends before the next of its priority. Default: the rate divided by `rateToQuantum`. */
  quantum?: number
  /** 0 gets first what is left, 7 last. Default: 0. */
  priority?: number
}

const parameters = struct({
  rate: rateSpec,
  ceil: rateSpec,
  buffer: u32,
  ceilBuffer: u32,
  quantum: u32,
  level: u32,
  priority: u32,
})
const global = struct({
  version: u32,
  rateToQuantum: u32,
  default: u32,
  debug: u32,
  directPackets: u32,
})
const codec = attributes({
  parameters: attribute('TCA_HTB_PARMS', 1, parameters),
  global: attribute('TCA_HTB_INIT', 2, global),
  directQueue: attribute('TCA_HTB_DIRECT_QLEN', 5, u32),
  rate: attribute('TCA_HTB_RATE64', 6, u64),
  ceil: attribute('TCA_HTB_CEIL64', 7, u64),
})

const VERSION = 3

export const htb: Kind = {
  write(option, options) {
    onlyKeys(option, options, ['kind', 'default', 'rateToQuantum', 'directQueue'])
    const { default: otherwise = 0, rateToQuantum = 10, directQueue } = options as HtbOptions
    return encoded(option, codec, {
      global: { version: VERSION, rateToQuantum, default: otherwise, debug: 0, directPackets: 0 },
      directQueue,
    })
  },
  read(bytes) {
    const { global: said, directQueue } = decoded(codec, bytes)
    return {
      default: said?.default ?? 0,
      rateToQuantum: said?.rateToQuantum ?? 0,
      ...(directQueue === undefined ? {} : { directQueue }),
    }
  },
}

/** tc's: the greatest packet, and what passes in a tick of a clock of 1 GHz. */
const PACKET = 1600

const classKeys = ['kind', 'rate', 'ceil', 'burst', 'ceilBurst', 'quantum', 'priority']

export const htbClass: Kind = {
  write(option, options) {
    onlyKeys(option, options, classKeys)
    const given = options as HtbClassOptions
    const rate = bytesPerSecond(`${option}.rate`, given.rate)
    const ceil = given.ceil === undefined ? rate : bytesPerSecond(`${option}.ceil`, given.ceil)
    const size = (name: 'burst' | 'ceilBurst', at: number) =>
      ticksOf(
        `${option}.${name}`,
        given[name] === undefined
          ? Math.floor(at / 1e9) + PACKET
          : parseSize(`${option}.${name}`, given[name], 1),
        at,
      )
    return encoded(option, codec, {
      parameters: {
        rate: specOf(rate),
        ceil: specOf(ceil),
        buffer: size('burst', rate),
        ceilBuffer: size('ceilBurst', ceil),
        quantum: given.quantum ?? 0,
        priority: given.priority ?? 0,
      },
      rate: wideOf(rate),
      ceil: wideOf(ceil),
    })
  },
  read(bytes) {
    const { parameters: said, rate: wideRate, ceil: wideCeil } = decoded(codec, bytes)
    const rate = rateOf(said?.rate, wideRate)
    const ceil = rateOf(said?.ceil, wideCeil)
    return {
      rate: rate * 8,
      ceil: ceil * 8,
      burst: sizeOf(said?.buffer ?? 0, rate),
      ceilBurst: sizeOf(said?.ceilBuffer ?? 0, ceil),
      quantum: said?.quantum ?? 0,
      priority: said?.priority ?? 0,
    }
  },
}
