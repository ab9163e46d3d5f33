import { flagOption, invalidOption, onlyKeys, show } from '../base/index.js'

/**
 * A rule on devices, as the OCI's runtime specification has them. Rules are in order: of those
 * that are about a device and a kind of access, the last one decides; what none is about is
 * refused.
 */
export interface DeviceRule {
  allow: boolean
  /** `'b'`: block devices, `'c'`: character devices, `'a'`: both. Default: both. */
  type?: 'a' | 'b' | 'c'
  /** 0 to 4095. Default: all. */
  major?: number | null
  /** 0 to 1048575. Default: all. */
  minor?: number | null
  /** What of opening for reading, `r`, for writing, `w`, and mknod(2), `m`. Default: `'rwm'`. */
  access?: string
}

/** What a process asks for: all of it is allowed, or it is refused with `EPERM`. */
export interface DeviceAccess {
  type: 'b' | 'c'
  major: number
  minor: number
  access: string
}

/** Bits of access, as the kernel numbers them: linux/bpf.h `BPF_DEVCG_ACC_*`. */
const MKNOD = 1
const READ = 2
const WRITE = 4
export const ALL = MKNOD | READ | WRITE

/** A major or minor number that stands for any. */
export const ANY = -1

/** A rule that has been checked, for one type of devices. */
export interface CheckedRule {
  allow: boolean
  types: readonly ('b' | 'c')[]
  major: number
  minor: number
  bits: number
}

// linux/kdev_t.h
const LAST_MAJOR = 2 ** 12 - 1
const LAST_MINOR = 2 ** 20 - 1

/** So many are far more than anybody has written by hand, and soon checked. */
const MOST_RULES = 1024

/** `'rwm'` in the order in which the kernel prints it. */
export function accessText(bits: number): string {
  return `${bits & READ ? 'r' : ''}${bits & WRITE ? 'w' : ''}${bits & MKNOD ? 'm' : ''}`
}

export function accessBits(option: string, access: unknown): number {
  if (typeof access !== 'string' || !/^[rwm]{1,3}$/.test(access))
    throw invalidOption(option, `${show(access)} is no access; it has some of the letters rwm`)
  return (
    (access.includes('m') ? MKNOD : 0) |
    (access.includes('r') ? READ : 0) |
    (access.includes('w') ? WRITE : 0)
  )
}

/**
 * Checks rules; a string is one that allows, as version 1 and `docker run
 * --device-cgroup-rule` write it: `'c 1:3 rwm'`, `'b *:* m'`, `'a'`.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `option`.
 */
export function checkDeviceRules(option: string, rules: unknown): CheckedRule[] {
  if (!Array.isArray(rules)) throw invalidOption(option, 'must be a list of rules')
  if (rules.length > MOST_RULES)
    throw invalidOption(option, `has ${rules.length} rules; ${MOST_RULES} are the most`)
  const checked = Array.from(rules, (rule: unknown, i) => checkRule(`${option}[${i}]`, rule))
  const majors = checked.filter(({ major, minor }) => major !== ANY && minor === ANY).length
  const minors = checked.filter(({ major, minor }) => major === ANY && minor !== ANY).length
  if (majors * minors > MOST_RULES)
    throw invalidOption(
      option,
      `${majors} rules on major numbers meet ${minors} on minor numbers, which is too often`,
    )
  return checked
}

function checkRule(option: string, given: unknown): CheckedRule {
  const rule = (typeof given === 'string' ? parseRule(option, given) : given) as DeviceRule
  onlyKeys(option, rule, ['allow', 'type', 'major', 'minor', 'access'])
  if (rule.allow === undefined) throw invalidOption(`${option}.allow`, 'is missing: true or false')
  const { type = 'a', access = 'rwm' } = rule
  if (type !== 'a' && type !== 'b' && type !== 'c')
    throw invalidOption(`${option}.type`, `${show(type)} is none; a, b and c are`)
  return {
    allow: flagOption(`${option}.allow`, rule.allow, false),
    types: type === 'a' ? ['b', 'c'] : [type],
    major: numberOrAny(`${option}.major`, rule.major, LAST_MAJOR),
    minor: numberOrAny(`${option}.minor`, rule.minor, LAST_MINOR),
    bits: accessBits(`${option}.access`, access),
  }
}

function numberOrAny(option: string, value: unknown, last: number): number {
  if (value === undefined || value === null) return ANY
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > last)
    throw invalidOption(option, `${show(value)} is no number from 0 to ${last}`)
  return value
}

function parseRule(option: string, text: string): DeviceRule {
  if (text === 'a') return { allow: true }
  const match = /^([abc]) (\*|\d{1,7}):(\*|\d{1,7}) ([rwm]{1,3})$/.exec(text)
  if (match === null)
    throw invalidOption(option, `${show(text)} is no rule; "c 1:3 rwm" and "b *:* m" are`)
  const [, type, major, minor, access] = match as unknown as [string, 'a', string, string, string]
  return {
    allow: true,
    type,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  }
}

const character = (major: number, minor?: number): DeviceRule =>
  Object.freeze({
    allow: true,
    type: 'c',
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  })

/**
 * What containers may use unless they are told otherwise, as the OCI's runtime specification and
 * runc have it: any device may be made, and those that every container has be used: `null`,
 * `zero`, `full`, `random`, `urandom`, `tty`, `console`, `ptmx` and the pseudoterminals.
 */
export const defaultDeviceRules: readonly DeviceRule[] = Object.freeze([
  Object.freeze({ allow: false, access: 'rwm' }),
  Object.freeze({ allow: true, type: 'c', access: 'm' }),
  Object.freeze({ allow: true, type: 'b', access: 'm' }),
  character(1, 3),
  character(1, 5),
  character(1, 7),
  character(1, 8),
  character(1, 9),
  character(5, 0),
  character(5, 1),
  character(5, 2),
  character(136),
])
