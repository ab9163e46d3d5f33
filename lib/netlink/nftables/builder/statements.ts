import { isIP } from 'node:net'
import { conflict, invalidOption, keyOption, show } from '../../../base/index.js'
import { dataTypes, encodeValue, integerBytes } from '../datatypes.js'
import { type VerdictText, verdictOf } from '../elements.js'
import type { Expression } from '../expressions/index.js'
import type { Statement } from '../rules.js'
import { needsTransport } from './fields.js'

const always = (...expressions: Expression[]): Statement => {
  return () => expressions
}

const verdict = (text: VerdictText) =>
  always({ kind: 'immediate', dreg: 0, data: { verdict: verdictOf('verdict', text) } })

/** The packet may go on. */
export const accept = () => verdict('accept')
/** The packet ends here, and nobody is told. */
export const drop = () => verdict('drop')
/** On with the next rule. */
export const continueOn = () => verdict('continue')
/** Back to the chain that this one was jumped to from. Equivalent to: `return` */
export const returnBack = () => verdict('return')
/** To another chain, and back when that has nothing to say. */
export const jump = (chain: string) => verdict(`jump ${chain}`)
/** To another chain. */
export const goto = (chain: string) => verdict(`goto ${chain}`)

/** Counts packets and bytes; with a name, those of an object. Equivalent to: `counter`, `counter name …` */
export function counter(name?: string): Statement {
  if (name !== undefined) return always({ kind: 'objref', type: 'counter', name })
  return always({ kind: 'counter', bytes: 0n, packets: 0n })
}

/** Equivalent to: `quota name …` */
export const quotaNamed = (name: string) => always({ kind: 'objref', type: 'quota', name })

/** Until so many bytes have passed; `over`, from then on. Equivalent to: `quota over … bytes` */
export function quota(bytes: number | bigint, options: { over?: boolean } = {}): Statement {
  const flags = options.over === true ? { flags: ['inverted' as const] } : {}
  return always({ kind: 'quota', bytes: BigInt(bytes), ...flags })
}

const UNITS = { second: 1n, minute: 60n, hour: 3600n, day: 86400n, week: 604800n } as const

/** How many may come. */
export interface LimitOptions {
  per?: keyof typeof UNITS
  /** So many may come at once. Default: 5 packets, or no bytes. */
  burst?: number
  /** What comes beyond it, and not what keeps to it. */
  over?: boolean
  bytes?: boolean
}

/** Packets up to a rate. Equivalent to: `limit rate 10/second burst 5 packets` */
export function limitExpression(rate: number, options: LimitOptions = {}): Expression {
  const { per = 'second', bytes = false, burst = bytes ? 0 : 5, over = false } = options
  if (!Number.isSafeInteger(rate) || rate < 1)
    throw invalidOption('limit(): rate', `${show(rate)} is no whole number from 1`)
  keyOption('limit(): per', per, UNITS)
  return {
    kind: 'limit',
    rate: BigInt(rate),
    unit: UNITS[per],
    burst,
    type: bytes ? 'bytes' : 'packets',
    flags: over ? ['inverted'] : [],
  }
}

/** Packets up to a rate. Equivalent to: `limit rate 10/second burst 5 packets` */
export const limit = (rate: number, options?: LimitOptions): Statement =>
  always(limitExpression(rate, options))

const ICMPX = {
  'no-route': 0,
  'port-unreachable': 1,
  'host-unreachable': 2,
  'admin-prohibited': 3,
} as const

/**
 * Drops the packet and says so: by a message of ICMP or ICMPv6, or for TCP by a reset.
 * Equivalent to: `reject with icmpx port-unreachable`, `reject with tcp reset`
 */
export function reject(how: keyof typeof ICMPX | 'tcp reset' = 'port-unreachable'): Statement {
  if (how === 'tcp reset')
    return rule => [...needsTransport(rule, 'tcp'), { kind: 'reject', type: 'tcp reset', code: 0 }]
  if (!Object.hasOwn(ICMPX, how))
    throw invalidOption(
      'reject()',
      `${show(how)} is none; tcp reset, ${Object.keys(ICMPX).join(', ')} are`,
    )
  return rule => {
    if (rule.family !== 'ip' && rule.family !== 'ip6')
      return [{ kind: 'reject', type: 'icmpx', code: ICMPX[how] }]
    const code = rule.family === 'ip' ? [0, 3, 1, 13] : [0, 4, 3, 1]
    return [{ kind: 'reject', type: 'icmp', code: code[ICMPX[how]] as number }]
  }
}

/** How a packet is logged. */
export type LogOptions = Omit<Extract<Expression, { kind: 'log' }>, 'kind'>

/** Equivalent to: `log prefix "…" level …`, `log group …` */
export const log = (options: LogOptions = {}): Statement => always({ kind: 'log', ...options })

/** Connections of this packet are not to be known of. */
export const notrack = () => always({ kind: 'notrack' })

/** Where a packet is to go, or to come from. */
export interface Target {
  address?: string
  port?: number
}

/** How ports are chosen, and whether a client keeps its address. */
export type NatFlag = 'random' | 'fully-random' | 'persistent'

function translate(type: 'snat' | 'dnat', target: Target, flags: readonly NatFlag[]): Statement {
  const { address, port } = target
  const version = address === undefined ? 0 : isIP(address)
  if (version === 0 && (address !== undefined || port === undefined))
    throw invalidOption(`${type}(): address`, `${show(address)} is no address`)
  return rule => {
    const family = version === 0 ? rule.family : version === 4 ? 'ip' : 'ip6'
    if (family !== 'inet' && family !== 'ip' && family !== 'ip6')
      throw conflict(type, `is not for a table of family ${rule.family}`)
    return [
      ...(address === undefined
        ? []
        : [
            immediate(
              1,
              encodeValue(type, dataTypes[version === 4 ? 'ipv4_addr' : 'ipv6_addr'], address),
            ),
          ]),
      ...(port === undefined ? [] : [immediate(2, integerBytes(BigInt(port), 2, 'big'))]),
      {
        kind: 'nat',
        type,
        natFamily: family,
        ...(address === undefined ? {} : { addressMin: 1, addressMax: 1 }),
        ...(port === undefined ? {} : { portMin: 2, portMax: 2 }),
        ...(flags.length === 0 ? {} : { flags }),
      },
    ]
  }
}

function immediate(dreg: number, value: Uint8Array): Expression {
  return { kind: 'immediate', dreg, data: { value } }
}

/** Another destination, of the connection's packets. Equivalent to: `dnat to 10.0.0.2:80` */
export const dnat = (target: Target, ...flags: NatFlag[]) => translate('dnat', target, flags)
/** Another source. Equivalent to: `snat to 10.0.0.1` */
export const snat = (target: Target, ...flags: NatFlag[]) => translate('snat', target, flags)
/** The source is the address of the device that the packet leaves by. */
export const masquerade = (...flags: NatFlag[]): Statement =>
  always({ kind: 'masq', ...(flags.length === 0 ? {} : { flags }) })
/** To this system itself, and there to `port`. Equivalent to: `redirect to :8080` */
export const redirect = (port?: number): Statement =>
  port === undefined
    ? always({ kind: 'redir' })
    : always(immediate(1, integerBytes(BigInt(port), 2, 'big')), { kind: 'redir', portMin: 1 })

/** Sends the packet out of a device, by its index: of family netdev. Equivalent to: `fwd to eth1` */
export const forwardTo = (index: number): Statement =>
  always(immediate(1, integerBytes(BigInt(index), 4, 'host')), { kind: 'fwd', device: 1 })
/** A copy of the packet out of a device, by its index: of family netdev. Equivalent to: `dup to eth1` */
export const copyTo = (index: number): Statement =>
  always(immediate(1, integerBytes(BigInt(index), 4, 'host')), { kind: 'dup', device: 1 })
