import { invalidOption } from '../base/index.js'

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

/** Name of a capability, without the `CAP_` of the C headers. */
export type CapabilityName = (typeof names)[number]

/** A capability as options take it: with or without `CAP_`. */
export type Capability = CapabilityName | `CAP_${CapabilityName}`

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

/**
 * A set of capabilities as the kernel writes it, bit by number.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a name that there is not.
 */
export function toBits(option: string, set: readonly Capability[]): bigint {
  let bits = 0n
  for (const capability of set) {
    const name = String(capability).toUpperCase().replace(/^CAP_/, '')
    const number = names.indexOf(name as CapabilityName)
    if (number < 0) throw invalidOption(option, `there is no capability ${capability}`)
    bits |= 1n << BigInt(number)
  }
  return bits
}

/** Names of the bits of a set, as `/proc/PID/status` shows it. Unknown bits are left out. */
export function fromBits(bits: bigint): CapabilityName[] {
  return names.filter((_, number) => (bits >> BigInt(number)) & 1n)
}
