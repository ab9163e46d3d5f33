import { conflict, invalidOption, onlyKeys, show } from '../../base/index.js'
import {
  attribute,
  attributes,
  be32,
  be64,
  bytes,
  type Codec,
  flagSet,
  list,
  oneOf,
  s32,
  text,
} from '../codec/index.js'
import { checkComment, checkName, checkPlace } from './checks.js'
import { type Family, type Hook, hooksOf, type PriorityName, prioritiesOf } from './names.js'
import { readUserdata, writeUserdata } from './userdata.js'
import { familyName, nfFormat } from './wire.js'

/** What a base chain is for: `nat` sees the first packet of a connection only. */
export type ChainType = 'filter' | 'nat' | 'route'

/** A chain. With a `hook` it is a base chain, which packets come to; without, others jump to it. */
export interface ChainOptions {
  family: Family
  table: string
  name: string
  /** Default with a hook: `filter`. */
  type?: ChainType
  hook?: Hook
  /** Its place among the chains of its hook: lower ones are first. Default: 0. Or as nft(8) has it: `'filter'`, `'dstnat'`. */
  priority?: number | PriorityName
  /** What becomes of packets that no rule decides on. Default: `accept`. */
  policy?: 'accept' | 'drop'
  /** Devices whose packets come to it: of family netdev, and of the hook ingress. */
  devices?: readonly string[]
  flags?: readonly ('base' | 'offload' | 'binding' | number)[]
  comment?: string
  userdata?: Uint8Array
}

/** A chain as the kernel has it. */
export interface Chain extends Readonly<ChainOptions> {
  readonly priority?: number
  readonly handle: bigint
  /** So many rules are in it, or jump to it. */
  readonly use: number
}

/** Of the network's order, with a sign. */
const be32signed: Codec<number> = {
  read: (from, start, end) => be32.read(from, start, end) | 0,
  write: (to, value) => {
    s32.write(to, value)
    to.bytes.subarray(to.length - 4, to.length).reverse()
  },
}

const hookCodec = attributes({
  number: attribute('NFTA_HOOK_HOOKNUM', 1, be32),
  priority: attribute('NFTA_HOOK_PRIORITY', 2, be32signed),
  device: attribute('NFTA_HOOK_DEV', 3, text(16)),
  devices: attribute('NFTA_HOOK_DEVS', 4, list(text(16), 1)),
})

export const chainFormat = nfFormat(
  attributes({
    table: attribute('NFTA_CHAIN_TABLE', 1, text(256)),
    handle: attribute('NFTA_CHAIN_HANDLE', 2, be64),
    name: attribute('NFTA_CHAIN_NAME', 3, text(256)),
    hook: attribute('NFTA_CHAIN_HOOK', 4, hookCodec),
    policy: attribute('NFTA_CHAIN_POLICY', 5, oneOf({ drop: 0, accept: 1 }, be32)),
    use: attribute('NFTA_CHAIN_USE', 6, be32),
    type: attribute('NFTA_CHAIN_TYPE', 7, text(32)),
    flags: attribute('NFTA_CHAIN_FLAGS', 10, flagSet({ base: 1, offload: 2, binding: 4 }, be32)),
    userdata: attribute('NFTA_CHAIN_USERDATA', 12, bytes),
  }),
)

const BASE_ONLY = ['type', 'priority', 'policy', 'devices'] as const
const KEYS = [
  'family',
  'table',
  'name',
  'hook',
  ...BASE_ONLY,
  'flags',
  'comment',
  'userdata',
  'handle',
  'use',
]

export function chainBody(option: string, options: ChainOptions) {
  onlyKeys(option, options, KEYS)
  checkPlace(option, options)
  checkName(`${option}.name`, options.name)
  checkComment(option, options.comment)
  const { table, name, flags } = options
  const userdata = writeUserdata(options.comment, options.userdata)
  if (options.hook === undefined) {
    for (const key of BASE_ONLY)
      if (options[key] !== undefined)
        throw conflict(`${option}.${key}`, 'is for a chain with a hook')
    return { table, name, flags, userdata }
  }
  return {
    table,
    name,
    flags: flags?.filter(flag => flag !== 'base'), // which the kernel sets, and refuses to be told
    userdata,
    hook: hookBody(option, options),
    type: options.type ?? 'filter',
    policy: options.policy,
  }
}

function hookBody(option: string, options: ChainOptions) {
  const { family, hook = 'input', devices } = options
  const hooks = hooksOf(family)
  const number = Object.hasOwn(hooks, hook) ? hooks[hook] : undefined
  if (number === undefined)
    throw invalidOption(
      `${option}.hook`,
      `${show(hook)} is none of ${family}; ${Object.keys(hooks).join(', ')} are`,
    )
  return {
    number,
    priority: priorityOf(`${option}.priority`, family, options.priority ?? 0),
    ...(devices === undefined ? {} : devices.length === 1 ? { device: devices[0] } : { devices }),
  }
}

function priorityOf(option: string, family: Family, priority: number | PriorityName): number {
  if (typeof priority === 'number' && Number.isInteger(priority)) return priority
  const names = prioritiesOf(family)
  const number = Object.hasOwn(names, priority) ? names[priority as PriorityName] : undefined
  if (number === undefined)
    throw invalidOption(
      option,
      `${show(priority)} is no priority of ${family}; numbers and ${Object.keys(names).join(', ')} are`,
    )
  return number
}

export function chainOf(found: ReturnType<typeof chainFormat.read>): Chain {
  const { table = '', name = '', handle = 0n, use = 0, hook, policy, type } = found
  const family = familyName(found.family)
  const flags = (found.flags ?? []).filter(flag => flag !== 'base')
  const devices = hook?.devices ?? (hook?.device === undefined ? undefined : [hook.device])
  const hooks = Object.entries(hooksOf(family))
  return {
    family,
    table,
    name,
    handle,
    use,
    ...(hook === undefined
      ? {}
      : {
          type: (type ?? 'filter') as ChainType,
          hook: (hooks.find(([, number]) => number === hook.number)?.[0] ?? 'input') as Hook,
          priority: hook.priority ?? 0,
          ...(policy === undefined ? {} : { policy: policy as 'accept' | 'drop' }),
          ...(devices === undefined ? {} : { devices }),
        }),
    ...(flags.length > 0 ? { flags } : {}),
    ...readUserdata(found.userdata),
  }
}
