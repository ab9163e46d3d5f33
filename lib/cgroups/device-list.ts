import { ALL, ANY, accessText, checkDeviceRules } from './device-rules.js'
import { type Cell, covers, type DeviceSet, deviceSet, isEverything } from './device-set.js'
import type { FileWrite } from './files.js'

// The devices controller of version 1. It allows or refuses all devices but for a list of
// exceptions: what is written to devices.allow and devices.deny adds to that list or takes from
// it, and "a" empties it. devices.list shows the list only where all else is refused.

/** What a group's list says, by devices as the kernel writes them. */
interface List {
  /** What is not in the list is allowed. */
  allows: boolean
  /** Bits, by `c 1:3`. */
  exceptions: ReadonlyMap<string, number>
}

const EVERYTHING: List = { allows: true, exceptions: new Map() }

const number = (value: number) => (value === ANY ? '*' : `${value}`)

/** What `devices.list` says; lines that make no sense are skipped. */
function parseList(text: string): List {
  const exceptions = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (/^a \*:\* rwm$/.test(line)) return EVERYTHING
    const match = /^([bc] (?:\*|\d{1,10}):(?:\*|\d{1,10})) ([rwm]{1,3})$/.exec(line)
    if (match === null) continue
    const [, device, access] = match as unknown as [string, string, string]
    exceptions.set(device, (exceptions.get(device) ?? 0) | bitsOf(access))
  }
  return { allows: false, exceptions }
}

const bitsOf = (access: string) =>
  [...access].reduce((bits, letter) => bits | ({ m: 1, r: 2, w: 4 }[letter] ?? 0), 0)

/** The set that a group's `devices.list` comes to. */
export function setOfList(text: string): DeviceSet {
  const { allows, exceptions } = parseList(text)
  if (allows) return deviceSet(checkDeviceRules('devices.list', ['a']))
  // What of the numbers is beyond those that devices have is about no device.
  const rules = [...exceptions].flatMap(([device, bits]) => {
    try {
      return checkDeviceRules('devices.list', [`${device} ${accessText(bits)}`])
    } catch {
      return []
    }
  })
  return deviceSet(rules)
}

/**
 * The list that comes to a set. The kernel looks for one exception that has all that is asked
 * for, so each is to have all that its devices have; and none can take anything back that a
 * wider one has given.
 *
 * @param hidden Whether exceptions from all being allowed will do, which can't be read back.
 * @returns undefined when no list says that.
 */
function listOf(set: DeviceSet, hidden: boolean): List | undefined {
  if (isEverything(set)) return EVERYTHING
  return exceptionsOf(set, false) ?? (hidden ? exceptionsOf(set, true) : undefined)
}

function exceptionsOf(set: DeviceSet, allows: boolean): List | undefined {
  const exceptions = new Map<string, number>()
  for (const type of ['b', 'c'] as const) {
    const bitsOf = ({ bits }: Cell) => (allows ? ALL & ~bits : bits)
    const cells = set[type]
    for (const { cell, wider } of points(cells)) {
      if (wider.some(each => (bitsOf(each) & ~bitsOf(cell)) !== 0)) return undefined
      const known = wider.some(each => bitsOf(each) === bitsOf(cell))
      if (known || bitsOf(cell) === 0) continue
      exceptions.set(`${type} ${number(cell.major)}:${number(cell.minor)}`, bitsOf(cell))
    }
  }
  return { allows, exceptions }
}

/** All cells, and where those of major and of minor numbers meet; with those that have them too. */
function points(cells: readonly Cell[]): { cell: Cell; wider: Cell[] }[] {
  const wide = cells.filter(({ major, minor }) => major === ANY || minor === ANY)
  const meetings = wide.flatMap(({ major, minor, bits }) =>
    minor !== ANY || major === ANY
      ? []
      : wide
          .filter(other => other.major === ANY && other.minor !== ANY)
          .filter(other => !cells.some(each => each.major === major && each.minor === other.minor))
          .map(other => ({ major, minor: other.minor, bits })),
  )
  return [...cells, ...meetings].map(cell => ({
    cell,
    wider: wide.filter(each => each !== cell && covers(each, cell)),
  }))
}

/**
 * What is to be written so that a group whose `devices.list` says `before` has this set: first
 * what is allowed in addition, so that nothing that both allow is refused meanwhile. Only from
 * all being allowed there is no other way than by a moment at which nothing is.
 *
 * @param hidden As {@link listOf} has it.
 * @returns undefined when version 1 can't say it.
 */
export function listWrites(
  folder: string,
  before: string,
  set: DeviceSet,
  hidden = false,
): FileWrite[] | undefined {
  const list = listOf(set, hidden)
  if (list === undefined) return undefined
  const write = (file: 'allow' | 'deny', value: string): FileWrite => ({
    path: `${folder}/devices.${file}`,
    value,
    controller: 'devices',
  })
  const now = parseList(before)
  const writes: FileWrite[] = []
  if (list.allows) {
    // Exceptions from it may be there, and can't be seen.
    writes.push(write('allow', 'a'))
  } else if (now.allows) writes.push(write('deny', 'a'))
  const from = list.allows || now.allows ? EVERYTHING.exceptions : now.exceptions
  const add = list.allows ? 'deny' : 'allow'
  for (const [device, bits] of list.exceptions) {
    const added = bits & ~(from.get(device) ?? 0)
    if (added) writes.push(write(add, `${device} ${accessText(added)}`))
  }
  for (const [device, bits] of from) {
    const taken = bits & ~(list.exceptions.get(device) ?? 0)
    if (taken) writes.push(write('deny', `${device} ${accessText(taken)}`))
  }
  return writes
}
