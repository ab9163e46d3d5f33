import { execFileSync } from 'node:child_process'
import { CofferdamError } from 'cofferdam'
import {
  type CapabilityName,
  formatIab,
  formatText,
  fromBits,
  lastCapability,
  parseIab,
  parseText,
  type TextSets,
} from 'cofferdam/capabilities'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot } from '../support/index.js'

// libcap's text forms, compared with libcap: capsh reads a text, becomes what it
// says, and prints what it is.

/** What capsh prints for each of these options; undefined where it can't read one. */
function capsh(option: 'caps' | 'iab', texts: readonly string[]): (string | undefined)[] {
  const line = option === 'caps' ? 'Current: ' : 'Current IAB: '
  // One shell and one user namespace, in which all capabilities are there.
  const script = `for text; do capsh --${option}="$text" --print 2>/dev/null | grep "^${line}" || echo; done`
  const printed = execFileSync('unshare', ['-Ur', 'sh', '-c', script, 'sh', ...texts], {
    encoding: 'utf8',
  })
  return printed
    .split('\n')
    .slice(0, texts.length)
    .map(text => (text === '' ? undefined : text.slice(line.length)))
}

function read<T>(parse: (text: string) => T, text: string): T | undefined {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof CofferdamError && error.code === 'ERR_INVALID_OPTION') return undefined
    throw error
  }
}

const number = fc.nat(lastCapability())
const name = number.map(n => `cap_${fromBits(1n << BigInt(n))[0]?.toLowerCase()}`)
const item = fc.oneof(
  name,
  name.map(text => text.toUpperCase()),
  number.map(String),
  number.map(n => `0x${n.toString(16)}`),
  number.map(n => `0${n.toString(8)}`),
  fc.constantFrom('all', 'ALL', '64', '08', '0x', 'cap_nothing', 'chown', ''),
)
const list = fc.array(fc.oneof({ weight: 9, arbitrary: name }, item), { maxLength: 4 })
const letters = fc.array(fc.constantFrom('e', 'i', 'p'), { maxLength: 3 }).map(all => all.join(''))
const action = fc.tuple(fc.constantFrom('=', '+', '-'), letters).map(all => all.join(''))
const clause = fc
  .tuple(list, fc.array(action, { minLength: 1, maxLength: 3 }))
  .map(([names, actions]) => names.join(',') + actions.join(''))
const wellFormed = fc
  .tuple(fc.array(name, { minLength: 1, maxLength: 4 }), fc.constantFrom('=', '+', '-'), letters)
  .map(([names, operator, letters]) => `${names.join(',')}${operator}${letters || 'p'}`)
const text = fc
  .array(
    fc.oneof({ weight: 4, arbitrary: wellFormed }, clause, fc.constantFrom('=', '=ip', '=eip')),
    {
      maxLength: 5,
    },
  )
  .map(clauses => clauses.join(' '))

t.test('texts are read as libcap reads them', needsRoot, async t => {
  // A process has nothing in effect that it is not permitted.
  const texts = fc
    .sample(text, 400)
    .filter(
      one => read(parseText, one)?.effective.every(has(read(parseText, one)?.permitted)) ?? true,
    )
  const printed = capsh('caps', texts)
  let [some, none] = [0, 0]
  for (const [i, one] of texts.entries()) {
    const sets = read(parseText, one)
    if (sets === undefined) none++
    else some++
    t.equal(sets && formatText(sets), printed[i], JSON.stringify(one))
  }
  t.ok(some > 100 && none > 20, `${some} that can be read, and ${none} that can't`)
})

function has(set: readonly CapabilityName[] = []) {
  return (name: CapabilityName) => set.includes(name)
}

const subset = fc.bigInt(0n, (2n << BigInt(lastCapability())) - 1n)
// Mostly few or nearly all, as sets are.
const set = fc
  .oneof(
    subset,
    fc.tuple(subset, subset, subset).map(([a, b, c]) => a & b & c),
    fc.tuple(subset, subset).map(([a, b]) => a | b),
    fc.constantFrom(0n, (2n << BigInt(lastCapability())) - 1n),
  )
  .map(fromBits)
const sets: fc.Arbitrary<TextSets> = fc
  .record({ permitted: set, inheritable: set, effective: set })
  .map(all => ({ ...all, effective: all.effective.filter(has(all.permitted)) }))

t.test('sets are written as libcap writes them, and read again', needsRoot, async t => {
  const all = fc.sample(sets, 200)
  const texts = all.map(formatText)
  t.same(capsh('caps', texts), texts)
  for (const [i, one] of texts.entries()) t.same(parseText(one), all[i], one)
})

t.test('what has no name is written by its number', async t => {
  t.equal(formatText({ permitted: ['63'] }), '= 63+p')
  t.same(parseText('= 63+p'), { effective: [], permitted: ['63'], inheritable: [] })
  t.equal(formatText({ permitted: ['CHOWN', '62'], effective: ['62'] }), 'cap_chown=p 62+ep')
  t.equal(formatText({}), '=')
  t.equal(formatText({ effective: 'all', permitted: 'all' }), '=ep')
  t.throws(() => formatText({ effective: ['64'] }), {
    code: 'ERR_INVALID_OPTION',
    option: 'effective',
  })
})

const marks = fc.constantFrom('', '!', '^', '%', '!^', '!%', '^!', '%^')
const iab = fc
  .array(fc.tuple(marks, fc.oneof({ weight: 9, arbitrary: name }, item)), { maxLength: 5 })
  .map(items => items.map(([mark, name]) => mark + name).join(','))

t.test('the same for inheritable, ambient and bounding sets', needsRoot, async t => {
  const texts = [...fc.sample(iab, 200), '', ',', '!', 'cap_chown,', 'cap_chown,^!', 'cap_chown,,']
  const printed = capsh('iab', texts)
  for (const [i, one] of texts.entries()) {
    const sets = read(parseIab, one)
    t.equal(sets && formatIab(sets), printed[i], JSON.stringify(one))
    if (sets) t.same(parseIab(formatIab(sets)), sets)
  }
})

t.test('any text is read or refused', async t => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        text,
        iab,
        fc.string({ unit: fc.constantFrom(...'cap_=+-eip,!^% 09x\n') }),
      ),
      one => {
        const sets = read(parseText, one)
        if (sets) t.same(parseText(formatText(sets)), sets)
        read(parseIab, one)
      },
    ),
    { numRuns: 2000 },
  )
  for (const wrong of [undefined, 7, null, {}, `all=${'+e'.repeat(10_000_000)}`])
    for (const parse of [parseText, parseIab])
      t.throws(() => parse(wrong as unknown as string), { code: 'ERR_INVALID_OPTION' })
})
