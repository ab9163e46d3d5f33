import { invalidOption, show } from '../base/index.js'

/**
 * What is different for a thread about root and about capabilities, each at the
 * place of its number; capabilities(7), linux/securebits.h. The last four are of
 * Linux 6.14 and for programs that execute scripts to look at.
 */
export const securebitNames = [
  'noroot',
  'noroot_locked',
  'no_setuid_fixup',
  'no_setuid_fixup_locked',
  'keep_caps',
  'keep_caps_locked',
  'no_cap_ambient_raise',
  'no_cap_ambient_raise_locked',
  'exec_restrict_file',
  'exec_restrict_file_locked',
  'exec_deny_interactive',
  'exec_deny_interactive_locked',
] as const

/** Name of a securebit, as setpriv(1) has it. */
export type Securebit = (typeof securebitNames)[number]

/**
 * Securebits as prctl(2) takes them.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a name that there is not.
 */
export function securebitsToBits(option: string, securebits: readonly Securebit[]): number {
  if (!Array.isArray(securebits)) throw invalidOption(option, 'must be a list of names')
  let bits = 0
  for (const name of securebits as readonly Securebit[]) {
    const number = securebitNames.indexOf(name)
    if (number < 0)
      throw invalidOption(option, `there is no ${show(name)}; ${securebitNames.join(', ')} are`)
    bits |= 1 << number
  }
  return bits
}

/** Their names. Bits that have none are left out. */
export function securebitsFromBits(bits: number): Securebit[] {
  if (!Number.isInteger(bits)) throw invalidOption('bits', `${show(bits)} are no securebits`)
  return securebitNames.filter((_, number) => (bits >> number) & 1)
}
