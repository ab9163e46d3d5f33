import type { CapabilityName } from '../capabilities/index.js'

/** One thing that was tried. */
export interface Check {
  /** What it belongs to: `'namespaces'`, `'mounts'`, … */
  group: string
  /** What was tried, in few words. */
  name: string
  /**
   * Whether it worked. `'partly'`: only in a user namespace, in another way, or
   * some of it; `detail` says which.
   */
  ok: boolean | 'partly'
  /** What is worth knowing of it: a version, a list, a restriction. */
  detail?: string
  /** What failed, when something did. */
  error?: CheckError
  /** What usually helps. */
  remedy?: string
}

/** The failure of a {@link Check}, as a CofferdamError has it. */
export interface CheckError {
  message: string
  /** Name of the errno, or `ERR_…` of this package. */
  code: string
  syscall?: string
  /** The operation as strace(1) would print it. */
  operation?: string
  path?: string
}

/** What this machine and this program are. What can't be found out is null. */
export interface Facts {
  /** As `uname -r` has it. */
  kernel: string
  /** As Node names it: `'x64'`, `'arm64'`. */
  architecture: string
  node: string
  user: { uid: number; gid: number; name: string | null }
  /** Effective capabilities. */
  capabilities: CapabilityName[] | null
  /** Of this program: no execve gives it privileges. */
  noNewPrivileges: boolean | null
  /** Whether a seccomp filter is on this program. */
  seccompFiltered: boolean | null
  /** Security modules in the order in which they are asked; null where neither a
   * system call (Linux 6.8) nor securityfs tells. */
  securityModules: string[] | null
  cgroups: {
    /** `'hybrid'`: controllers of v1, and v2 beside them. */
    version: 'v1' | 'v2' | 'hybrid' | null
    /** Controllers of v2 that this program's group can have. */
    unified: string[]
    /** Controllers of v1. */
    legacy: string[]
    /** Who makes groups of containers where nothing is said; null without any hierarchy. */
    manager: 'cgroupfs' | 'systemd' | null
  }
  /** Kinds of namespaces of this program that are not the machine's first ones. */
  inNamespaces: string[]
  /** What kind of container this is, as far as it tells: `'docker'`, `'unknown'`; null for none. */
  container: string | null
}

/** What {@link doctor} found. Plain data: `JSON.stringify` keeps all of it. */
export interface Report {
  /** Whether a default container works; the last check. */
  ok: boolean
  facts: Facts
  checks: Check[]
  /** How long it took. */
  milliseconds: number
}
