import { ALL, ANY, accessText, type CheckedRule, type DeviceRule } from './device-rules.js'

/** Devices of one type, by their numbers or all, and what is allowed with them. */
export interface Cell {
  major: number
  minor: number
  bits: number
}

/**
 * What rules come to: for either type of devices, what the most particular cell that has a
 * device says, and the last one has all. Equal sets of rules come to equal ones.
 */
export interface DeviceSet {
  b: readonly Cell[]
  c: readonly Cell[]
}

/** The sets of rules: what follows is theirs, in whichever form. */
export function deviceSet(rules: readonly CheckedRule[]): DeviceSet {
  return { b: cellsOf(rules, 'b'), c: cellsOf(rules, 'c') }
}

function cellsOf(all: readonly CheckedRule[], type: 'b' | 'c'): Cell[] {
  const rules = all.filter(({ types }) => types.includes(type))
  const decided = (major: number, minor: number): Cell => {
    let bits = 0
    for (const rule of rules) {
      const matches =
        (rule.major === ANY || rule.major === major) && (rule.minor === ANY || rule.minor === minor)
      if (matches) bits = rule.allow ? bits | rule.bits : bits & ~rule.bits
    }
    return { major, minor, bits }
  }
  const last = decided(ANY, ANY)
  const majors = keys(rules, ({ major, minor }) => minor === ANY && major !== ANY && major)
  const minors = keys(rules, ({ major, minor }) => major === ANY && minor !== ANY && minor)
  const wide = [
    ...majors.map(major => decided(major, ANY)),
    ...minors.map(minor => decided(ANY, minor)),
  ].filter(({ bits }) => bits !== last.bits)

  const points = new Map<string, Cell>()
  const add = (major: number, minor: number) => {
    const cell = decided(major, minor)
    const other = [...wide, last].find(each => covers(each, cell)) as Cell
    if (cell.bits !== other.bits) points.set(`${major}:${minor}`, cell)
  }
  for (const { major, minor } of rules) if (major !== ANY && minor !== ANY) add(major, minor)
  // Where rules on a major and on a minor number meet, the order of the two decides.
  for (const major of majors) for (const minor of minors) add(major, minor)
  const narrow = [...points.values()].sort((a, b) => a.major - b.major || a.minor - b.minor)
  return [...narrow, ...wide, last]
}

/** The numbers that `of` gives, each once, in ascending order. */
function keys(rules: readonly CheckedRule[], of: (rule: CheckedRule) => number | false): number[] {
  const found = rules.map(of).filter(number => number !== false)
  return [...new Set(found)].sort((a, b) => a - b)
}

/** Whether a cell has all devices of another. */
export function covers(wide: Cell, narrow: Cell): boolean {
  return (
    (wide.major === ANY || wide.major === narrow.major) &&
    (wide.minor === ANY || wide.minor === narrow.minor)
  )
}

/** The cell that decides over a device. */
function first(cells: readonly Cell[], major: number, minor: number): Cell {
  return cells.find(cell => covers(cell, { major, minor, bits: 0 })) as Cell
}

/** What the set says of a device: the bits that are allowed. */
export function allowedBits(set: DeviceSet, type: 'b' | 'c', major: number, minor: number): number {
  return first(set[type], major, minor).bits
}

/** Whether it allows all or nothing, and what. */
export function isEverything({ b, c }: DeviceSet, bits = ALL): boolean {
  return b.length === 1 && c.length === 1 && b[0]?.bits === bits && c[0]?.bits === bits
}

/**
 * The normal form of all rules that come to this set: from the general to the particular, each
 * with what differs from those before it.
 */
export function rulesOf(set: DeviceSet): DeviceRule[] {
  const sections = { b: differences(set.b), c: differences(set.c) }
  // What both have alike, one rule says.
  const shared = sections.b.filter(one => sections.c.some(other => isSame(one, other)))
  const both = isPrefix(shared, sections.b) && isPrefix(shared, sections.c) ? shared : []
  const of = (type: 'a' | 'b' | 'c', list: readonly Difference[]) =>
    list.map(each => ruleOf(type, each))
  return [
    ...of('a', both),
    ...of('b', sections.b.slice(both.length)),
    ...of('c', sections.c.slice(both.length)),
  ]
}

interface Difference extends Cell {
  allow: boolean
}

/**
 * What each cell, from the general to the particular, adds to those before it, or takes away.
 * Where a cell of a major and one of a minor number meet, what the first of them says may have
 * to be said again.
 */
function differences(cells: readonly Cell[]): Difference[] {
  const wide = cells.filter(({ major, minor }) => major === ANY || minor === ANY)
  const points = new Map<string, Cell>()
  for (const { major } of wide)
    for (const { minor } of wide) {
      if (major === ANY || minor === ANY) continue
      points.set(`${major}:${minor}`, { ...first(cells, major, minor), major, minor })
    }
  for (const cell of cells)
    if (!wide.includes(cell)) points.set(`${cell.major}:${cell.minor}`, cell)
  const narrow = [...points.values()].sort((a, b) => a.major - b.major || a.minor - b.minor)

  const rules: Difference[] = []
  for (const cell of [...[...wide].reverse(), ...narrow]) {
    let before = 0
    for (const rule of rules)
      if (covers(rule, cell)) before = rule.allow ? before | rule.bits : before & ~rule.bits
    const [added, taken] = [cell.bits & ~before, before & ~cell.bits]
    if (added) rules.push({ ...cell, bits: added, allow: true })
    if (taken) rules.push({ ...cell, bits: taken, allow: false })
  }
  return rules
}

const isSame = (a: Difference, b: Difference | undefined) =>
  a.allow === b?.allow && a.major === b.major && a.minor === b.minor && a.bits === b.bits

const isPrefix = (start: readonly Difference[], all: readonly Difference[]) =>
  start.every((each, i) => isSame(each, all[i]))

function ruleOf(type: 'a' | 'b' | 'c', { allow, major, minor, bits }: Difference): DeviceRule {
  return {
    allow,
    type,
    ...(major === ANY ? {} : { major }),
    ...(minor === ANY ? {} : { minor }),
    access: accessText(bits),
  }
}
