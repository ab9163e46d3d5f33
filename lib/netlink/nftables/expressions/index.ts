import { show } from '../../../base/index.js'
import {
  type Attributes,
  attribute,
  attributes,
  bytes,
  type Codec,
  list,
  text,
} from '../../codec/index.js'
import { bitwise, byteorder } from './bitwise.js'
import { cmp, range } from './compare.js'
import { connlimit, counter, last, limit, quota } from './counter.js'
import { ct } from './ct.js'
import { dup, fwd, notrack, queue, synproxy } from './forward.js'
import { hash, numgen } from './hash.js'
import { immediate } from './immediate.js'
import { log } from './log.js'
import { meta } from './meta.js'
import { masq, nat, redir, tproxy } from './nat.js'
import { payload } from './payload.js'
import { reject } from './reject.js'
import { exthdr, fib, rt, socket } from './route.js'
import { dynsetOf, lookup, objref } from './sets.js'

const plain = {
  bitwise,
  byteorder,
  cmp,
  connlimit,
  counter,
  ct,
  dup,
  exthdr,
  fib,
  fwd,
  hash,
  immediate,
  last,
  limit,
  log,
  lookup,
  masq,
  meta,
  nat,
  notrack,
  numgen,
  objref,
  payload,
  queue,
  quota,
  range,
  redir,
  reject,
  rt,
  socket,
  synproxy,
  tproxy,
} as const

/** An expression of a kind that is described here. */
export type DescribedExpression = {
  [K in keyof typeof plain]: { readonly kind: K } & ((typeof plain)[K] extends Attributes<infer T>
    ? Readonly<T>
    : never)
}[keyof typeof plain]

/** An expression that puts elements into a set. */
export interface DynsetExpression {
  readonly kind: 'dynset'
  readonly set?: string | undefined
  readonly setId?: number | undefined
  readonly op?: 'add' | 'update' | 'delete' | number | undefined
  readonly sregKey?: number | undefined
  readonly sregData?: number | undefined
  /** Milliseconds. */
  readonly timeout?: bigint | undefined
  readonly expression?: Expression | undefined
  readonly flags?: readonly ('inverted' | 'expression' | number)[] | undefined
  readonly expressions?: readonly Expression[] | undefined
}

/** An expression that is not described here, as it came. */
export interface RawExpression {
  readonly kind: 'raw'
  readonly name: string
  readonly data?: Uint8Array | undefined
}

/**
 * A step of a rule, as the kernel carries them out: it takes from registers and puts into them,
 * and may end the rule. What is compared is bytes, as they stand in a packet.
 */
export type Expression = DescribedExpression | DynsetExpression | RawExpression

const outer = attributes({
  name: attribute('NFTA_EXPR_NAME', 1, text(32)),
  data: attribute('NFTA_EXPR_DATA', 2, bytes),
})

/** What an expression has besides its attributes. */
const KIND: ReadonlySet<string> = new Set(['kind'])

/** One expression: its name, and attributes that are its own. */
export const expressionCodec: Codec<Expression> = {
  write(to, expression) {
    if (typeof expression !== 'object' || expression === null)
      throw to.refuse(`${show(expression)} is no expression`)
    const { kind } = expression
    if (kind === 'raw') {
      outer.writeBut(to, expression, KIND)
      return
    }
    const described = codecOf(kind)
    if (described === undefined) throw to.refuse(`${show(kind)} is no kind of expression`)
    described.outer.write(to, { name: kind, data: expression })
  },
  read(from, start, end) {
    const { name = '', data } = outer.read(from, start, end)
    const described = codecOf(name)
    if (described === undefined) return { kind: 'raw', name, data }
    if (data === undefined) return { kind: name } as Expression
    const into = described.outer.read(from, start, end).data as { timeout?: bigint }
    // Of a set whose elements do not go it tells of 0, and takes none.
    if (name === 'dynset' && into.timeout === 0n) delete into.timeout
    return { kind: name, ...into } as Expression
  },
  inside: {
    nameOf: outer.inside.nameOf,
    fieldAt(from, start, end, offset) {
      const { name = '' } = outer.read(from, start, end)
      const path = (codecOf(name)?.outer ?? outer).inside.fieldAt(from, start, end, offset)
      return path[0] === 'NFTA_EXPR_DATA' ? [`(${name})`, ...path.slice(1)] : [`(${name})`, ...path]
    },
  },
}

export const expressionsCodec = list(expressionCodec, 1)

interface Described {
  readonly outer: Attributes<{ name?: string | undefined; data?: unknown }>
}

const described = new Map<string, Described>()
for (const [name, codec] of Object.entries({
  ...plain,
  dynset: dynsetOf(expressionCodec, expressionsCodec),
}))
  described.set(name, {
    outer: attributes({
      name: attribute('NFTA_EXPR_NAME', 1, text(32)),
      data: attribute('NFTA_EXPR_DATA', 2, besidesKind(codec as Attributes<unknown>)),
    }),
  })

/** Written of a whole expression, and not of a copy without its kind: there are thousands of them. */
function besidesKind(codec: Attributes<unknown>): Codec<unknown> {
  return { ...codec, write: (to, expression) => codec.writeBut(to, expression as object, KIND) }
}

function codecOf(name: string): Described | undefined {
  return described.get(name)
}

/** What objects hold, by their kinds. */
export const objectCodecs = { counter, quota, limit, connlimit, synproxy } as const
