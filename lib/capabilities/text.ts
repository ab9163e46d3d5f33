import { invalidOption, objectOption, show } from '../base/index.js'
import { lastCapability } from './kernel.js'
import {
  type CapabilityName,
  type CapabilitySet,
  fromBits,
  hasBit,
  MOST_CAPABILITIES,
  names,
  numberOf,
  toBits,
} from './names.js'

/** The three sets that libcap's text is about. */
export interface TextSets {
  effective: CapabilityName[]
  permitted: CapabilityName[]
  inheritable: CapabilityName[]
}

// As bits of a number from 0 to 7; the order of libcap's clauses is that of these.
const EFFECTIVE = 1
const PERMITTED = 2
const INHERITABLE = 4

function flagsOf(letters: string): number {
  let flags = 0
  if (letters.includes('e')) flags |= EFFECTIVE
  if (letters.includes('i')) flags |= INHERITABLE
  if (letters.includes('p')) flags |= PERMITTED
  return flags
}

function lettersOf(flags: number): string {
  const letter = (flag: number, text: string) => (flags & flag ? text : '')
  return letter(EFFECTIVE, 'e') + letter(INHERITABLE, 'i') + letter(PERMITTED, 'p')
}

// A list, which only = can do without; then what is done with what it names.
const clausePattern = /^(?:([\w,]+)(?=[=+-])|(?==))(=[eip]*|[+-][eip]+)((?:[+-][eip]+)*)$/

/**
 * Reads a state of capabilities as libcap writes it: clauses one after the other,
 * each a list of names or numbers, or `all`, and which sets they are put in (`=`),
 * added to (`+`) or taken from (`-`). cap_from_text(3)
 *
 * ```ts
 * parseText('cap_net_admin,cap_net_raw+ep cap_chown=i')
 * parseText('=ep cap_sys_admin-e') // all that the kernel has, but for one
 * ```
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `text` for what libcap would
 * not read either.
 */
export function parseText(text: string): TextSets {
  checkText(text)
  const states = new Uint8Array(MOST_CAPABILITIES)
  for (const clause of text.split(/[ \t\n\v\f\r]+/).filter(Boolean)) {
    const match = clausePattern.exec(clause)
    const [, list, first = '', rest = ''] = match ?? []
    if (match === null || (list === undefined && rest !== ''))
      throw invalidOption('text', `${JSON.stringify(clause)} is no clause; cap_chown=ep is`)
    const listed = list === undefined ? everything() : new Set(list.split(',').flatMap(listedName))
    for (const [, operator, letters = ''] of (first + rest).matchAll(/([=+-])([eip]*)/g))
      for (const number of listed)
        states[number] = applied(states[number] as number, operator as string, flagsOf(letters))
  }
  const within = (flag: number) => {
    let bits = 0n
    for (const [number, flags] of states.entries()) if (flags & flag) bits |= 1n << BigInt(number)
    return fromBits(bits)
  }
  return {
    effective: within(EFFECTIVE),
    permitted: within(PERMITTED),
    inheritable: within(INHERITABLE),
  }
}

/** Much more than all that there is to be said takes. */
const MOST_TEXT = 65_536

/** Refuses what is no text, and what is too long to be one of libcap's. */
export function checkText(text: unknown): void {
  if (typeof text !== 'string') throw invalidOption('text', `${show(text)} is no text`)
  if (text.length > MOST_TEXT) throw invalidOption('text', `${text.length} characters are too many`)
}

function applied(state: number, operator: string, flags: number): number {
  if (operator === '=') return flags
  return operator === '+' ? state | flags : state & ~flags
}

function everything(): number[] {
  return Array.from({ length: lastCapability() + 1 }, (_, number) => number)
}

function listedName(name: string): number[] {
  return name.toLowerCase() === 'all' ? everything() : [numberInText(name)]
}

/** Here names have their prefix, and numbers may be written as in C. */
export function numberInText(name: string): number {
  const octal = /^0([0-7]+)$/.exec(name)
  let number: number | undefined
  if (octal !== null) number = Number.parseInt(octal[1] as string, 8)
  else if (/^(0x[0-9a-f]+|0|[1-9]\d*)$/i.test(name)) number = Number(name)
  else if (/^cap_[a-z]/i.test(name)) number = numberOf(name)
  if (number === undefined || number >= MOST_CAPABILITIES)
    throw invalidOption('text', `there is no capability ${JSON.stringify(name)}`)
  return number
}

/** A capability as libcap writes it. */
export function nameInText(number: number): string {
  const name = names[number]
  return name === undefined ? `${number}` : `cap_${name.toLowerCase()}`
}

/**
 * Writes a state of capabilities exactly as libcap does, for the running kernel:
 * first what most capabilities have in common, then what differs. cap_to_text(3)
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a name that there is not.
 */
export function formatText(sets: {
  effective?: CapabilitySet
  permitted?: CapabilitySet
  inheritable?: CapabilitySet
}): string {
  objectOption('sets', sets)
  const bits = (name: keyof TextSets) => toBits(name, sets[name] ?? [])
  const all = [bits('effective'), bits('permitted'), bits('inheritable')] as const
  const groups = Array.from({ length: 8 }, (): number[] => [])
  const unnamed = Array.from({ length: 8 }, (): number[] => [])
  for (let number = 0; number < MOST_CAPABILITIES; number++) {
    let flags = 0
    for (const [i, set] of all.entries()) if (hasBit(set, number)) flags |= 1 << i
    const group = (number <= lastCapability() ? groups : unnamed)[flags] as number[]
    group.push(number)
  }
  const sizes = groups.map(group => group.length)
  const common = sizes.indexOf(Math.max(...sizes))

  const clauses = [`=${lettersOf(common)}`]
  for (let flags = 7; flags >= 0; flags--) {
    const list = (groups[flags] as number[]).map(nameInText).join(',')
    if (flags === common || list === '') continue
    const [added, taken] = [lettersOf(flags & ~common), lettersOf(common & ~flags)]
    // Where none is what they have in common, the first clause says it as well.
    const operator = clauses[0] === '=' ? clauses.pop() : '+'
    clauses.push(list + (added && operator + added) + (taken && `-${taken}`))
  }
  // Those that the kernel does not have are not among all.
  for (let flags = 7; flags > 0; flags--) {
    const list = (unnamed[flags] as number[]).map(nameInText).join(',')
    if (list !== '') clauses.push(`${list}+${lettersOf(flags)}`)
  }
  return clauses.join(' ')
}
