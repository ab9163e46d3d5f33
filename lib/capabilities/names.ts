import { invalidOption, show } from '../base/index.js'
import { allCapabilities } from './kernel.js'

/**
 * All capabilities, each at the place of its number; capabilities(7),
 * linux/capability.h. One that is missing here is dropped all the same: the
 * core goes on until the kernel knows no more.
 */
export const names = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const

/**
 * Name of a capability, without the `CAP_` of the C headers; one that is younger
 * than this list goes by its number, as in libcap.
 */
export type CapabilityName = (typeof names)[number] | `${number}`

/** A capability as options take it: with or without `CAP_`. */
export type Capability = CapabilityName | `CAP_${CapabilityName}`

/** As options take sets: all that the kernel has, or a list. */
export type CapabilitySet = readonly Capability[] | 'all'

/** What Docker gives a container unless it is told otherwise. */
export const defaults: readonly CapabilityName[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SYS_CHROOT',
  'MKNOD',
  'AUDIT_WRITE',
  'SETFCAP',
]

/** How many the kernel's sets have room for; `kernel_cap_t`. */
export const MOST_CAPABILITIES = 64

/** Number of a capability by its name, in any case, or by its number; undefined if there is none. */
export function numberOf(capability: string): number | undefined {
  if (typeof capability !== 'string') return undefined
  const name = capability.toUpperCase().replace(/^CAP_/, '')
  const number = /^\d+$/.test(name) ? Number(name) : names.indexOf(name as (typeof names)[number])
  return number >= 0 && number < MOST_CAPABILITIES ? number : undefined
}

/** Its name; beyond those that there are, the number itself. */
export function nameOf(number: number): CapabilityName {
  return names[number] ?? `${number}`
}

/**
 * A set of capabilities as the kernel writes it, bit by number.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a name that there is not.
 */
export function toBits(option: string, set: CapabilitySet): bigint {
  if (set === 'all') return allCapabilities()
  if (!Array.isArray(set)) throw invalidOption(option, "must be a list of names, or 'all'")
  let bits = 0n
  for (const capability of set) {
    const number = numberOf(capability)
    if (number === undefined)
      throw invalidOption(option, `there is no capability ${show(capability)}`)
    bits |= 1n << BigInt(number)
  }
  return bits
}

/**
 * Names of the bits of a set, as `/proc/PID/status` shows it.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what is no bigint of 64 bits.
 */
export function fromBits(bits: bigint): CapabilityName[] {
  if (typeof bits !== 'bigint' || bits >> BigInt(MOST_CAPABILITIES) !== 0n)
    throw invalidOption('bits', `${show(bits)} is no set of capabilities; toBits() makes one`)
  const found: CapabilityName[] = []
  for (let number = 0; number < MOST_CAPABILITIES; number++)
    if (hasBit(bits, number)) found.push(nameOf(number))
  return found
}

/** Whether a set has the capability of this number. */
export function hasBit(bits: bigint, number: number): boolean {
  return ((bits >> BigInt(number)) & 1n) === 1n
}
