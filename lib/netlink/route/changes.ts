import { flagOption, onlyKeys, signalOption } from '../../base/index.js'
import type { Format, Received } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { type Lost, Monitor } from '../monitor.js'
import { addressFormat } from './address-format.js'
import { type Address, addressFrom } from './addresses.js'
import { type FdbEntry, fdbFrom } from './bridge-fdb.js'
import { type Link, toLink } from './link.js'
import { linkFormat } from './link-format.js'
import { namespaceIdFormat } from './namespace-ids.js'
import { neighbourFormat } from './neighbour-format.js'
import { type Neighbour, neighbourFrom } from './neighbours.js'
import type { Route } from './route.js'
import { routeFormat } from './route-format.js'
import { routeFrom } from './route-values.js'
import { ruleFormat } from './rule-format.js'
import { type Rule, ruleFrom } from './rules.js'
import { groups } from './undisturbed.js'

/** `new`: it is there, or is another than it was. `deleted`: it was as told, and is gone. */
export interface Changed {
  readonly change: 'new' | 'deleted'
}

/** What a monitor tells of. */
export type NetworkChange =
  | (Changed & { readonly kind: 'link'; readonly link: Link })
  | (Changed & { readonly kind: 'address'; readonly address: Address })
  | (Changed & { readonly kind: 'route'; readonly route: Route })
  | (Changed & { readonly kind: 'rule'; readonly rule: Rule })
  | (Changed & { readonly kind: 'neighbour'; readonly neighbour: Neighbour })
  | (Changed & { readonly kind: 'fdb'; readonly entry: FdbEntry })
  | (Changed & { readonly kind: 'namespace'; readonly id: number })

/** What is to be told of: what is `true`; everything but `fdb` if nothing is said. */
export interface NetworkMonitorOptions {
  readonly links?: boolean
  readonly addresses?: boolean
  readonly routes?: boolean
  readonly rules?: boolean
  readonly neighbours?: boolean
  /** Entries of forwarding databases of bridges and VXLANs. */
  readonly fdb?: boolean
  /** Numbers of other network namespaces. */
  readonly namespaces?: boolean
  /** Ends it. */
  readonly signal?: AbortSignal | undefined
}

/** The groups in which each is told of. */
const subjects = {
  links: [groups.links],
  addresses: [groups.addresses4, groups.addresses6],
  routes: [groups.routes4, groups.routes6],
  rules: [groups.rules4, groups.rules6],
  neighbours: [groups.neighbours],
  fdb: [groups.neighbours],
  namespaces: [groups.namespaceIds],
} as const
type Subject = keyof typeof subjects
const names = Object.keys(subjects) as Subject[]

/** How a message of a type is told; without what is not wanted or known. */
interface Telling {
  readonly subjects: readonly Subject[]
  tell(bytes: Buffer, at: Received, wanted: ReadonlySet<Subject>): Told | undefined
}
type WithoutChange<T> = T extends unknown ? Omit<T, 'change'> : never
type Told = WithoutChange<NetworkChange>

function telling<T>(
  of: readonly Subject[],
  format: Format<T>,
  tell: (value: T, wanted: ReadonlySet<Subject>) => Told | undefined,
): Telling {
  return {
    subjects: of,
    tell: (bytes, { start, end }, wanted) => tell(format.read(bytes, start, end), wanted),
  }
}

const AF_BRIDGE = 7

/** By the types of new things; that of their being gone is one more. */
const tellings = new Map<number, Telling>([
  [
    16, // RTM_NEWLINK; bridges tell of their ports so as well
    telling(['links'], linkFormat, raw =>
      raw.family === AF_BRIDGE ? undefined : { kind: 'link', link: toLink(raw) },
    ),
  ],
  [
    20, // RTM_NEWADDR
    telling(['addresses'], addressFormat, raw => {
      const address = addressFrom(raw)
      return address && { kind: 'address', address }
    }),
  ],
  [
    24, // RTM_NEWROUTE
    telling(['routes'], routeFormat, raw => {
      const route = routeFrom(raw)
      return route && { kind: 'route', route }
    }),
  ],
  [
    28, // RTM_NEWNEIGH
    telling(['neighbours', 'fdb'], neighbourFormat, (raw, wanted) => {
      const entry = wanted.has('fdb') ? fdbFrom(raw) : undefined
      if (entry !== undefined) return { kind: 'fdb', entry }
      const neighbour = wanted.has('neighbours') ? neighbourFrom(raw) : undefined
      return neighbour && { kind: 'neighbour', neighbour }
    }),
  ],
  [
    32, // RTM_NEWRULE
    telling(['rules'], ruleFormat, raw => {
      const rule = ruleFrom(raw)
      return rule && { kind: 'rule', rule }
    }),
  ],
  [
    88, // RTM_NEWNSID
    telling(['namespaces'], namespaceIdFormat, ({ id }) =>
      id === undefined ? undefined : { kind: 'namespace', id },
    ),
  ],
])

/** Tells of changes in a network namespace. rtnetlink(7) */
export async function monitor(
  connection: Connection,
  options: NetworkMonitorOptions = {},
): Promise<Monitor<NetworkChange>> {
  onlyKeys('options', options, [...names, 'signal'])
  const signal = signalOption('options.signal', options.signal)
  const said = names.filter(name => flagOption(`options.${name}`, options[name], false))
  const wanted = new Set<Subject>(said.length > 0 ? said : names.filter(name => name !== 'fdb'))
  const numbers = new Set([...wanted].flatMap((name): readonly number[] => subjects[name]))
  const descriptor = await connection.listen('route', [...numbers])
  const read = (bytes: Buffer, received: Received): NetworkChange | undefined => {
    const change = tellings.has(received.type) ? 'new' : 'deleted'
    const known = tellings.get(change === 'new' ? received.type : received.type - 1)
    if (!known?.subjects.some(name => wanted.has(name))) return undefined
    const told = known.tell(bytes, received, wanted)
    return told && { ...told, change }
  }
  return new Monitor(descriptor, read, signal)
}

/** All that comes from a monitor of a network namespace. */
export type NetworkEvent = NetworkChange | Lost
