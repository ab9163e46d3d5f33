import { existsSync, readlinkSync } from 'node:fs'
import { release } from 'node:os'
import { userName } from '../base/index.js'
import { defaultManager } from '../cgroups/index.js'
import { kinds, type NamespaceKind, pathOf } from '../namespaces/index.js'
import { ownCapabilities } from './capabilities.js'
import { ownGroups } from './cgroups.js'
import { securityModules } from './modules.js'
import { statusField, textOf } from './proc.js'
import type { Facts } from './report.js'

/**
 * Inode numbers of the first namespace of each kind, which the kernel fixes;
 * linux/proc_ns.h. Those of mount and network namespaces differ between
 * kernels.
 */
const first: Partial<Record<NamespaceKind, number>> = {
  ipc: 0xefffffff,
  uts: 0xeffffffe,
  user: 0xeffffffd,
  pid: 0xeffffffc,
  cgroup: 0xeffffffb,
  time: 0xeffffffa,
}

function inNamespaces(): string[] {
  return (Object.keys(kinds) as NamespaceKind[]).filter(kind => {
    const known = first[kind]
    if (known === undefined) return false
    try {
      const link = readlinkSync(pathOf(kind, process.pid))
      return link !== `${kinds[kind].file}:[${known}]`
    } catch {
      return false
    }
  })
}

/**
 * What container managers leave to be recognised by. An image that is booted
 * has it too, but the machine's own namespaces.
 */
function container(namespaces: readonly string[]): string | null {
  if (namespaces.length === 0) return null
  if (existsSync('/.dockerenv')) return 'docker'
  if (existsSync('/run/.containerenv')) return 'podman'
  const said = /(?:^|\0)container=([^\0]+)/.exec(textOf('/proc/1/environ') ?? '')?.[1]
  return said ?? process.env.container ?? (namespaces.includes('pid') ? 'unknown' : null)
}

function cgroupFacts(): Facts['cgroups'] {
  const groups = ownGroups()
  const of = (wanted: 1 | 2) => groups.filter(({ version }) => version === wanted)
  const [legacy, unified] = [of(1), of(2)]
  const version =
    legacy.length > 0 && unified.length > 0
      ? 'hybrid'
      : unified.length > 0
        ? 'v2'
        : legacy.length > 0
          ? 'v1'
          : null
  const controllers = (list: typeof groups) => list.flatMap(group => group.controllers)
  const manager = version === null ? null : defaultManager()
  return { version, unified: controllers(unified), legacy: controllers(legacy), manager }
}

/** What can be known without trying, nearly. */
export async function gatherFacts(): Promise<Facts> {
  const namespaces = inNamespaces()
  const flag = (field: string, on: string) => {
    const value = statusField(field)
    return value === undefined ? null : value === on
  }
  return {
    kernel: release(),
    architecture: process.arch,
    node: process.version,
    user: {
      uid: process.geteuid?.() ?? -1,
      gid: process.getegid?.() ?? -1,
      name: userName() ?? null,
    },
    capabilities: ownCapabilities() ?? null,
    noNewPrivileges: flag('NoNewPrivs', '1'),
    seccompFiltered: flag('Seccomp', '2'),
    securityModules: await securityModules(),
    cgroups: cgroupFacts(),
    inNamespaces: namespaces,
    container: container(namespaces),
  }
}
