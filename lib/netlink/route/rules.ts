import { conflict, invalidOption, onlyKeys, show } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import {
  type Family,
  familiesOption,
  familyIn,
  familyOption,
  prefixOption,
  sameFamily,
} from './families.js'
import type { RouteProtocol } from './route.js'
import { type RouteTable, shortTable, tableOption } from './route-tables.js'
import { type NumberRange, type RawRule, type RuleAction, ruleFormat } from './rule-format.js'
import { groups, undisturbed } from './undisturbed.js'

const RTM_NEWRULE = 32
const RTM_DELRULE = 33
const RTM_GETRULE = 34
/** FIB_RULE_INVERT */
const INVERT = 2
const NO_LIMIT = 0xffffffff

/** What says in which table a packet's route is looked for. */
export interface Rule {
  readonly family: Family
  /** The least is asked first. */
  readonly priority: number
  readonly action: RuleAction
  /** Of the action `table`: 254 is main. */
  readonly table?: number
  /** Of the action `goto`: priority of the rule that is next. */
  readonly goto?: number
  /** For packets that are not as it says, instead. Equivalent to: `not` */
  readonly invert?: boolean
  /** Where they come from, `'10.0.0.0/8'`; all without it. */
  readonly from?: string
  readonly to?: string
  /** Name of the device that they come in by; `lo` for what is sent from here. Equivalent to: `iif` */
  readonly input?: string
  /** Name of the device that their socket is bound to. Equivalent to: `oif` */
  readonly output?: string
  readonly mark?: number
  /** Bits of the mark that count. Default: all. */
  readonly mask?: number
  readonly tos?: number
  /** Number of the protocol, as 6 for TCP. */
  readonly ipProtocol?: number
  readonly sourcePorts?: NumberRange
  readonly destinationPorts?: NumberRange
  /** Of the socket's owner. */
  readonly users?: NumberRange
  /** Routes with a prefix of at most so many bits do not count, as 0 for default routes. */
  readonly suppressPrefixLength?: number
  /** Routes by devices of this group do not count. */
  readonly suppressGroup?: number
  /** The table is that of the VRF that a packet is of. */
  readonly l3mdev?: boolean
  readonly protocol: RouteProtocol
  readonly realms?: number
}

/** A rule that is to be. What {@link Rules.list} gives will do as well. */
export interface RuleOptions extends Partial<Omit<Rule, 'table'>> {
  /** Default: that of `from` and `to`, otherwise `'inet'`. */
  readonly family?: Family
  readonly table?: RouteTable
}

/** Which rules. */
export interface RuleFilter {
  readonly family?: Family
}

const KEYS = [
  'family',
  'priority',
  'action',
  'table',
  'goto',
  'invert',
  'from',
  'to',
  'input',
  'output',
  'mark',
  'mask',
  'tos',
  'ipProtocol',
  'sourcePorts',
  'destinationPorts',
  'users',
  'suppressPrefixLength',
  'suppressGroup',
  'l3mdev',
  'protocol',
  'realms',
]

/** Rules of the choice of a table of routes, of IPv4 and IPv6. rtnetlink(7), ip-rule(8) */
export class Rules {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * By their priorities. Equivalent to: `ip -4 rule show; ip -6 rule show`
   *
   * @throws CofferdamError `ERR_INTERRUPTED` when they went on to change.
   */
  async list(filter: RuleFilter = {}): Promise<Rule[]> {
    onlyKeys('filter', filter, ['family'])
    const families = familiesOption('filter.family', filter.family)
    const socket = await this.#connection.socket('route')
    const lists = families.map(family => {
      const group = family === 'inet' ? groups.rules4 : groups.rules6
      return undisturbed(this.#connection, group, 'RTM_GETRULE', () => {
        const request = message('RTM_GETRULE', RTM_GETRULE, 0, ruleFormat, { family })
        return socket.dump(request, ruleFormat, ruleFrom)
      })
    })
    return (await Promise.all(lists)).flat()
  }

  /**
   * Makes a rule. Equivalent to: `ip rule add from 10.0.0.0/8 table 100`
   *
   * @throws CofferdamError `EEXIST` when there is the same.
   */
  async create(options: RuleOptions): Promise<void> {
    const value = rawRule(options, 'table')
    const flags = messageFlags.CREATE | messageFlags.EXCLUSIVE
    const socket = await this.#connection.socket('route')
    await socket.request(message('RTM_NEWRULE', RTM_NEWRULE, flags, ruleFormat, value, 'options'))
  }

  /**
   * Deletes the first that is as the options say. Equivalent to: `ip rule del …`
   *
   * @throws CofferdamError `ENOENT` when there is none.
   */
  async delete(options: RuleOptions): Promise<void> {
    const value = rawRule(options, 'unspecified')
    const socket = await this.#connection.socket('route')
    await socket.request(message('RTM_DELRULE', RTM_DELRULE, 0, ruleFormat, value, 'options'))
  }
}

function rawRule(options: RuleOptions, otherwise: 'table' | 'unspecified'): RawRule {
  onlyKeys('options', options, KEYS)
  const { priority, goto, invert = false, mark, mask, tos = 0, l3mdev } = options
  const table = tableOption('options.table', options.table)
  const action = options.action ?? (goto === undefined ? otherwise : 'goto')
  if ((action === 'goto') !== (goto !== undefined))
    throw conflict('options.goto', 'the action goto needs it, and no other has it')
  if (mask !== undefined && mark === undefined)
    throw conflict('options.mask', 'there is no mark that it is of')
  if (l3mdev === true && table !== undefined)
    throw conflict('options.table', 'l3mdev finds the table')
  const family = familyOf(options)
  const from = prefixIn('options.from', options.from, family)
  const to = prefixIn('options.to', options.to, family)
  const looksUp = action === 'table' && l3mdev !== true
  const number = table ?? (looksUp && otherwise === 'table' ? 254 : undefined)
  return {
    family,
    toPrefix: to?.length ?? 0,
    fromPrefix: from?.length ?? 0,
    to: to?.address,
    from: from?.address,
    tos,
    shortTable: shortTable(number ?? 0),
    table: number,
    action,
    flags: invert ? INVERT : 0,
    input: options.input,
    output: options.output,
    priority,
    goto,
    mark,
    mask,
    ipProtocol: options.ipProtocol,
    sourcePorts: rangeOption('options.sourcePorts', options.sourcePorts),
    destinationPorts: rangeOption('options.destinationPorts', options.destinationPorts),
    users: rangeOption('options.users', options.users),
    suppressPrefixLength: options.suppressPrefixLength,
    suppressGroup: options.suppressGroup,
    l3mdev: l3mdev === true ? 1 : undefined,
    protocol: options.protocol ?? (otherwise === 'table' ? 'boot' : undefined),
    realms: options.realms,
  }
}

function familyOf({ family, from, to }: RuleOptions): Family {
  if (family !== undefined) return familyOption('options.family', family)
  if (from !== undefined) return prefixOption('options.from', from).family
  return to === undefined ? 'inet' : prefixOption('options.to', to).family
}

function prefixIn(option: string, value: string | undefined, family: Family) {
  if (value === undefined) return undefined
  const prefix = prefixOption(option, value)
  sameFamily(family, option, prefix.family)
  return prefix.length === 0 ? undefined : prefix
}

function rangeOption(option: string, value: NumberRange | undefined): NumberRange | undefined {
  if (value === undefined) return undefined
  onlyKeys(option, value, ['first', 'last'])
  if (!(value.first <= value.last))
    throw invalidOption(option, `${show(value.first)} to ${show(value.last)} is no range`)
  return value
}

/** What a message says; undefined when it is of no family that is known here. */
export function ruleFrom(raw: RawRule): Rule | undefined {
  const family = familyIn(raw.family)
  if (family === undefined) return undefined
  const { action = 'unspecified', goto, from, to, input, output, mark, mask, tos = 0 } = raw
  const table = raw.table ?? raw.shortTable ?? 0
  const { suppressPrefixLength: least = NO_LIMIT, suppressGroup: group = NO_LIMIT } = raw
  const rule: { -readonly [K in keyof Rule]: Rule[K] } = {
    family,
    priority: raw.priority ?? 0,
    action,
    protocol: raw.protocol ?? 'unspecified',
  }
  if (action === 'table' && table !== 0) rule.table = table
  if (goto !== undefined) rule.goto = goto
  if (((raw.flags ?? 0) & INVERT) !== 0) rule.invert = true
  if (from !== undefined) rule.from = `${from}/${raw.fromPrefix}`
  if (to !== undefined) rule.to = `${to}/${raw.toPrefix}`
  if (input !== undefined) rule.input = input
  if (output !== undefined) rule.output = output
  if (mark !== undefined) rule.mark = mark
  if (mask !== undefined && mask !== NO_LIMIT && mark !== undefined) rule.mask = mask
  if (tos !== 0) rule.tos = tos
  if (raw.ipProtocol !== undefined) rule.ipProtocol = raw.ipProtocol
  if (raw.sourcePorts !== undefined) rule.sourcePorts = raw.sourcePorts
  if (raw.destinationPorts !== undefined) rule.destinationPorts = raw.destinationPorts
  if (raw.users !== undefined) rule.users = raw.users
  if (least !== NO_LIMIT) rule.suppressPrefixLength = least
  if (group !== NO_LIMIT) rule.suppressGroup = group
  if (raw.l3mdev) rule.l3mdev = true
  if (raw.realms !== undefined) rule.realms = raw.realms
  return rule
}
