import { objectOption } from '../base/index.js'
import { allCapabilities, lastCapability } from './kernel.js'
import { type CapabilityName, type CapabilitySet, fromBits, hasBit, toBits } from './names.js'
import { checkText, nameInText, numberInText } from './text.js'

/** The three sets that matter when a program without capabilities of its own is executed. */
export interface IabSets {
  inheritable: CapabilityName[]
  ambient: CapabilityName[]
  bounding: CapabilityName[]
}

/**
 * Reads libcap's text of inheritable, ambient and bounding set: names with `!` for
 * not in the bounding set, `^` for ambient and inheritable, `%` or nothing for
 * inheritable. cap_iab(3), capability.conf(5)
 *
 * ```ts
 * parseIab('!cap_sys_admin,^cap_net_raw,%cap_chown')
 * ```
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `text`.
 */
export function parseIab(text: string): IabSets {
  checkText(text)
  let [inheritable, ambient, bounding] = [0n, 0n, allCapabilities()]
  // libcap lets pass what says nothing, at the end.
  const said = text.replace(/(?<=.),[!^%]*$|^[!^%]*$/, '')
  for (const item of said === '' ? [] : said.split(',')) {
    const [, marks = '', name = ''] = /^([!^%]*)(.*)$/s.exec(item) ?? []
    const bit = 1n << BigInt(numberInText(name))
    if (marks === '' || /[%^]/.test(marks)) inheritable |= bit
    if (marks.includes('^')) ambient |= bit
    if (marks.includes('!')) bounding &= ~bit
  }
  return {
    inheritable: fromBits(inheritable),
    ambient: fromBits(ambient),
    bounding: fromBits(bounding),
  }
}

/**
 * Writes these sets as libcap does. cap_iab_to_text(3). Equivalent to: the line
 * `Current IAB` of `capsh --print`
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a name that there is not.
 */
export function formatIab(sets: {
  inheritable?: CapabilitySet
  ambient?: CapabilitySet
  bounding?: CapabilitySet
}): string {
  objectOption('sets', sets)
  const inheritable = toBits('inheritable', sets.inheritable ?? [])
  const ambient = toBits('ambient', sets.ambient ?? [])
  const bounding = toBits('bounding', sets.bounding ?? 'all')
  const items: string[] = []
  for (let number = 0; number <= lastCapability(); number++) {
    const dropped = !hasBit(bounding, number)
    let marks = dropped ? '!' : ''
    if (hasBit(ambient, number)) marks += '^'
    else if (dropped && hasBit(inheritable, number)) marks += '%'
    if (marks !== '' || hasBit(inheritable, number)) items.push(marks + nameInText(number))
  }
  return items.join(',')
}
