import {
  attribute,
  attributes,
  type Codec,
  type FixedCodec,
  format,
  ip,
  oneOf,
  struct,
  text,
  u8,
  u16,
  u32,
} from '../codec/index.js'
import { family } from './families.js'
import { routeProtocols } from './route-format.js'

/** linux/fib_rules.h FR_ACT_* */
export const ruleActions = {
  unspecified: 0,
  table: 1,
  goto: 2,
  nop: 3,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const

/** What a rule has done with a packet; a number for what has no name here. */
export type RuleAction = keyof typeof ruleActions | number

/** From one to another, both of them too. */
export interface NumberRange {
  readonly first: number
  readonly last: number
}

/** struct fib_rule_hdr */
const header = struct({
  family,
  toPrefix: u8,
  fromPrefix: u8,
  tos: u8,
  shortTable: u8,
  reserved: 2,
  action: oneOf(ruleActions, u8),
  flags: u32,
})

/** A struct of two, of which none is missing. */
function range(of: FixedCodec<number>): Codec<NumberRange> {
  return struct({ first: of, last: of })
}
const ports = range(u16)

export const ruleFormat = format(
  header,
  attributes({
    to: attribute('FRA_DST', 1, ip),
    from: attribute('FRA_SRC', 2, ip),
    input: attribute('FRA_IIFNAME', 3, text(16)),
    goto: attribute('FRA_GOTO', 4, u32),
    priority: attribute('FRA_PRIORITY', 6, u32),
    mark: attribute('FRA_FWMARK', 10, u32),
    realms: attribute('FRA_FLOW', 11, u32),
    suppressGroup: attribute('FRA_SUPPRESS_IFGROUP', 13, u32),
    suppressPrefixLength: attribute('FRA_SUPPRESS_PREFIXLEN', 14, u32),
    table: attribute('FRA_TABLE', 15, u32),
    mask: attribute('FRA_FWMASK', 16, u32),
    output: attribute('FRA_OIFNAME', 17, text(16)),
    l3mdev: attribute('FRA_L3MDEV', 19, u8),
    users: attribute('FRA_UID_RANGE', 20, range(u32)),
    protocol: attribute('FRA_PROTOCOL', 21, oneOf(routeProtocols, u8)),
    ipProtocol: attribute('FRA_IP_PROTO', 22, u8),
    sourcePorts: attribute('FRA_SPORT_RANGE', 23, ports),
    destinationPorts: attribute('FRA_DPORT_RANGE', 24, ports),
  }),
)

export type RawRule = Parameters<typeof ruleFormat.write>[1]
