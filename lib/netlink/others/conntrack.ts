import { integerOption, invalidOption, onlyKeys, show, signalOption } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { Monitor } from '../monitor.js'
import {
  type ConntrackStatus,
  conntrackFormat,
  type WireConnection,
  type WireTuple,
} from './conntrack-format.js'

const SUBSYSTEM = 1 << 8
const NEW = SUBSYSTEM | 0
const GET = SUBSYSTEM | 1
const DELETE = SUBSYSTEM | 2
const families = { ipv4: 2, ipv6: 10 } as const
/** NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY */
const GROUPS = [1, 2, 3]

/** Names of protocols above IP; of another one there is the number. */
const protocols = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
} as const

/** net/netfilter/nf_conntrack_tcp.h */
const tcpStates = [
  'none',
  'synSent',
  'synReceived',
  'established',
  'finWait',
  'closeWait',
  'lastAck',
  'timeWait',
  'close',
  'synSent2',
] as const

/** What tells the packets of one direction. */
export interface ConntrackTuple {
  readonly source: string
  readonly destination: string
  readonly protocol: keyof typeof protocols | number
  /** Of protocols that have ports. */
  readonly sourcePort?: number | undefined
  readonly destinationPort?: number | undefined
  /** Of ICMP. */
  readonly icmp?: { readonly id: number; readonly type: number; readonly code: number } | undefined
}

/** What went in one direction. */
export interface ConntrackCounters {
  readonly packets: bigint
  readonly bytes: bigint
}

/** A connection that the kernel keeps track of. */
export interface ConntrackEntry {
  readonly family: keyof typeof families
  /** As whoever began it sends. */
  readonly original: ConntrackTuple
  /** As answers come; another one than the reverse where addresses are translated. */
  readonly reply: ConntrackTuple
  readonly status: readonly ConntrackStatus[]
  /** Of TCP. */
  readonly state: (typeof tcpStates)[number] | number | undefined
  /** Seconds until it is forgotten. */
  readonly timeout: number | undefined
  readonly mark: number
  readonly zone: number
  readonly id: number
  /** Undefined unless sysctl net.netfilter.nf_conntrack_acct is on. */
  readonly counters:
    | { readonly original: ConntrackCounters; readonly reply: ConntrackCounters }
    | undefined
  /** When it began; undefined unless sysctl net.netfilter.nf_conntrack_timestamp is on. */
  readonly started: Date | undefined
}

/** Which connections. */
export interface ConntrackFilter {
  /** Default: both. */
  family?: keyof typeof families
  /** Those with this mark, in the bits of `markMask` (default: all bits). */
  mark?: number
  markMask?: number
}

/** A connection has begun, changed or ended. */
export interface ConntrackEvent {
  readonly kind: 'new' | 'update' | 'destroy'
  readonly entry: ConntrackEntry
}

/** The connections that a network namespace's firewall keeps track of. conntrack(8) */
export class Conntrack {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Lists connections. Equivalent to: `conntrack -L --mark 1`
   *
   * @throws CofferdamError `EPERM`; `ERR_UNSUPPORTED` or `EINVAL` when the kernel keeps no track.
   */
  async list(filter: ConntrackFilter = {}): Promise<ConntrackEntry[]> {
    const value = wireFilter('conntrack.list', filter)
    const socket = await this.#connection.socket('netfilter')
    const request = message('IPCTNL_MSG_CT_GET', GET, 0, conntrackFormat, value)
    return socket.dump(request, conntrackFormat, entryOf)
  }

  /**
   * Forgets one connection. Equivalent to: `conntrack -D -s … -d … -p tcp --sport … --dport …`
   *
   * @param entry As list() gave it: another one with the same addresses stays, by its `id`. Without
   * an id whatever has the `original` addresses.
   * @throws CofferdamError `ENOENT` when there is none.
   */
  async delete(entry: Pick<ConntrackEntry, 'original'> & Partial<ConntrackEntry>): Promise<void> {
    const { original, id, zone } = entry
    const value: WireConnection = {
      family: families[original?.source?.includes(':') ? 'ipv6' : 'ipv4'],
      original: wireTuple('conntrack.delete: entry.original', original),
      id,
      ...(zone === undefined || zone === 0 ? {} : { zone }),
    }
    await this.#delete(value)
  }

  /**
   * Forgets all connections, or those that the filter says. Equivalent to: `conntrack -F`,
   * `conntrack -D --mark 1`
   */
  async flush(filter: ConntrackFilter = {}): Promise<void> {
    await this.#delete(wireFilter('conntrack.flush', filter))
  }

  /**
   * What begins, changes and ends from now on. Equivalent to: `conntrack -E`
   *
   * @param options `signal`: ends it.
   * @throws CofferdamError `EPERM`.
   */
  async monitor(options: { signal?: AbortSignal } = {}): Promise<Monitor<ConntrackEvent>> {
    onlyKeys('conntrack.monitor', options, ['signal'])
    const signal = signalOption('conntrack.monitor: signal', options.signal)
    const descriptor = await this.#connection.listen('netfilter', GROUPS)
    return new Monitor<ConntrackEvent>(
      descriptor,
      (bytes, { type, flags, start, end }) => {
        if (type !== NEW && type !== DELETE) return undefined
        const entry = entryOf(conntrackFormat.read(bytes, start, end))
        const begins = (flags & (messageFlags.CREATE | messageFlags.EXCLUSIVE)) !== 0
        return { kind: type === DELETE ? 'destroy' : begins ? 'new' : 'update', entry }
      },
      signal,
    )
  }

  async #delete(value: WireConnection): Promise<void> {
    const socket = await this.#connection.socket('netfilter')
    await socket.request(message('IPCTNL_MSG_CT_DELETE', DELETE, 0, conntrackFormat, value))
  }
}

function wireFilter(call: string, filter: ConntrackFilter): WireConnection {
  onlyKeys(call, filter, ['family', 'mark', 'markMask'])
  const { family, mark, markMask = 0xffffffff } = filter
  if (family !== undefined && !Object.hasOwn(families, family))
    throw invalidOption(`${call}: family`, `${show(family)} is none; ipv4, ipv6 are`)
  return {
    family: family === undefined ? 0 : families[family],
    ...(mark === undefined
      ? {}
      : {
          mark: integerOption(`${call}: mark`, mark, 0, 0xffffffff),
          markMask: integerOption(`${call}: markMask`, markMask, 0, 0xffffffff),
        }),
  }
}

function wireTuple(option: string, tuple: ConntrackTuple): WireTuple {
  onlyKeys(option, tuple, [
    'source',
    'destination',
    'protocol',
    'sourcePort',
    'destinationPort',
    'icmp',
  ])
  const { source, destination, protocol, sourcePort, destinationPort, icmp } = tuple
  const number = typeof protocol === 'string' ? protocols[protocol] : protocol
  if (!Number.isInteger(number))
    throw invalidOption(
      `${option}.protocol`,
      `${show(protocol)} is none; ${Object.keys(protocols).join(', ')} are`,
    )
  const six = `${source}`.includes(':')
  const { id, type, code } = icmp ?? {}
  return {
    ip: six
      ? { source6: source, destination6: destination }
      : { source4: source, destination4: destination },
    protocol: {
      number,
      sourcePort,
      destinationPort,
      ...(six
        ? { icmp6Id: id, icmp6Type: type, icmp6Code: code }
        : { icmpId: id, icmpType: type, icmpCode: code }),
    },
  }
}

const protocolNames = new Map<number, keyof typeof protocols>(
  Object.entries(protocols).map(([name, number]) => [number, name as keyof typeof protocols]),
)

function tupleOf(wire: WireTuple = {}): ConntrackTuple {
  const { ip = {}, protocol: proto = {} } = wire
  const number = proto.number ?? 0
  const id = proto.icmpId ?? proto.icmp6Id
  return {
    source: ip.source4 ?? ip.source6 ?? '',
    destination: ip.destination4 ?? ip.destination6 ?? '',
    protocol: protocolNames.get(number) ?? number,
    ...(proto.sourcePort === undefined
      ? {}
      : { sourcePort: proto.sourcePort, destinationPort: proto.destinationPort }),
    ...(id === undefined
      ? {}
      : {
          icmp: {
            id,
            type: proto.icmpType ?? proto.icmp6Type ?? 0,
            code: proto.icmpCode ?? proto.icmp6Code ?? 0,
          },
        }),
  }
}

function entryOf(wire: WireConnection): ConntrackEntry {
  const { tcp } = wire.information ?? {}
  const { originalCounters, replyCounters, timestamp } = wire
  return {
    family: wire.family === families.ipv6 ? 'ipv6' : 'ipv4',
    original: tupleOf(wire.original),
    reply: tupleOf(wire.reply),
    status: wire.status ?? [],
    state: tcp?.state === undefined ? undefined : (tcpStates[tcp.state] ?? tcp.state),
    timeout: wire.timeout,
    mark: wire.mark ?? 0,
    zone: wire.zone ?? 0,
    id: wire.id ?? 0,
    counters:
      originalCounters === undefined && replyCounters === undefined
        ? undefined
        : { original: countersOf(originalCounters), reply: countersOf(replyCounters) },
    started:
      timestamp?.start === undefined ? undefined : new Date(Number(timestamp.start / 1_000_000n)),
  }
}

function countersOf(wire: WireConnection['originalCounters'] = {}): ConntrackCounters {
  return { packets: wire.packets ?? 0n, bytes: wire.bytes ?? 0n }
}
