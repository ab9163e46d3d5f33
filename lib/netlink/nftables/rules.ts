import { integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { attribute, attributes, be32, be64, bytes, text } from '../codec/index.js'
import { checkComment, checkName, checkPlace } from './checks.js'
import type { ElementOptions } from './elements.js'
import { type Expression, expressionsCodec } from './expressions/index.js'
import type { Family } from './names.js'
import type { SetOptions } from './sets.js'
import { readUserdata, writeUserdata } from './userdata.js'
import { familyName, nfFormat } from './wire.js'

/** What a statement may know of the rule that it stands in, and ask for. */
export interface RuleContext {
  readonly family: Family
  /** What the rule has made sure of so far, as `l4proto tcp`; each is asked for once. */
  readonly known: Set<string>
  /** Makes a set without a name, which lives as long as the rule. */
  anonymousSet(
    set: Pick<SetOptions, 'type' | 'map' | 'interval'>,
    elements: readonly ElementOptions[],
  ): { set: string; setId: number }
}

/** A part of a rule that is written out when the rule is: `tcp.dport(80)`, `accept()`. */
export type Statement = (rule: RuleContext) => readonly Expression[]

/** A rule, which stands at the end of its chain or where `after` or `before` says. */
export interface RuleOptions {
  family: Family
  table: string
  chain: string
  /** What it does, in this order: statements of the rule builder, or expressions. */
  expressions: readonly (Expression | Statement)[]
  comment?: string
  userdata?: Uint8Array
  /** Handle of the rule of the same chain that it comes behind, or before when inserted. */
  position?: bigint
}

/** A rule as the kernel has it. */
export interface Rule extends Readonly<RuleOptions> {
  readonly expressions: readonly Expression[]
  readonly handle: bigint
}

export const ruleFormat = nfFormat(
  attributes({
    table: attribute('NFTA_RULE_TABLE', 1, text(256)),
    chain: attribute('NFTA_RULE_CHAIN', 2, text(256)),
    handle: attribute('NFTA_RULE_HANDLE', 3, be64),
    expressions: attribute('NFTA_RULE_EXPRESSIONS', 4, expressionsCodec),
    compat: attribute('NFTA_RULE_COMPAT', 5, bytes),
    position: attribute('NFTA_RULE_POSITION', 6, be64),
    userdata: attribute('NFTA_RULE_USERDATA', 7, bytes),
    id: attribute('NFTA_RULE_ID', 9, be32),
  }),
)

/** Register numbers and lengths are the kernel's to check; a rule has at most so many expressions. */
const MOST = 128

export function ruleBody(option: string, options: RuleOptions, context: RuleContext) {
  onlyKeys(option, options, [
    'family',
    'table',
    'chain',
    'expressions',
    'comment',
    'userdata',
    'position',
    'handle',
  ])
  checkPlace(option, options)
  checkName(`${option}.chain`, options.chain)
  checkComment(option, options.comment)
  if (!Array.isArray(options.expressions))
    throw invalidOption(`${option}.expressions`, `${show(options.expressions)} is no list`)
  const expressions: Expression[] = []
  for (const part of options.expressions as readonly (Expression | Statement)[])
    if (typeof part === 'function') expressions.push(...part(context))
    else expressions.push(part)
  integerOption(`${option}.expressions: their number`, expressions.length, 0, MOST)
  return {
    table: options.table,
    chain: options.chain,
    expressions,
    userdata: writeUserdata(options.comment, options.userdata),
  }
}

export function ruleOf(found: ReturnType<typeof ruleFormat.read>): Rule {
  const { family, table = '', chain = '', handle = 0n, expressions = [], userdata } = found
  return {
    family: familyName(family),
    table,
    chain,
    handle,
    expressions,
    ...readUserdata(userdata),
  }
}
