import { conflict, invalidOption, requireProcfs } from '../base/index.js'
import { domainname, HOSTNAME_MAX, same } from '../namespaces/index.js'
import { type InitStep, type Slot, slot } from '../plan/index.js'
import * as proc from '../process/index.js'
import { type Configuration, isolates } from './configuration.js'

const DOMAINNAME = 'kernel/domainname'

/** The directory of kernel parameters, open from when it was in sight. */
const sys = slot('sys')

/** All but the domain name, which has a system call of its own. */
function written({ sysctls }: Configuration): proc.Sysctl[] {
  return (sysctls ?? []).filter(({ path }) => path !== DOMAINNAME)
}

/** Opens the kernel parameters by the host's own proc, before anything has been joined. */
export function composeHostSysctls(configuration: Configuration): InitStep[] {
  const needed = configuration.rootfs === undefined && written(configuration).length > 0
  return needed ? [proc.openHostSysctls(sys)] : []
}

/** The same by the container's proc, which init has made, before it is made read-only. */
export function composeOwnSysctls(configuration: Configuration, proc_: Slot): InitStep[] {
  return written(configuration).length > 0 ? [proc.openSysctls(proc_, sys)] : []
}

/**
 * Sets them, at the end: what a hook has brought, a network interface say, has some
 * of its own.
 */
export function composeSysctls(configuration: Configuration): InitStep[] {
  return written(configuration).map(sysctl => proc.sysctlStep(sys, sysctl))
}

/** The step that sets the domain name, if one was asked for. */
export function composeDomainname({ domainname: name, sysctls }: Configuration): InitStep[] {
  const asked = name ?? sysctls?.find(({ path }) => path === DOMAINNAME)?.value
  return asked === undefined ? [] : [domainname(asked)]
}

/** Refuses kernel parameters of namespaces that this program is in itself. */
export function checkSysctls(configuration: Configuration): void {
  const { domainname: name, sysctls, rootfs } = configuration
  if (name !== undefined && !isolates(configuration, 'uts'))
    throw conflict('domainname', "needs a UTS namespace: isolate('uts')")
  for (const { option, namespace, path, value } of sysctls ?? []) {
    // A joined user namespace has limits that its owner has set.
    const apart = namespace !== 'user' && isApart(configuration, namespace)
    if (!isolates(configuration, namespace) && !apart)
      throw conflict(option, `needs a namespace of its own: isolate('${namespace}')`)
    if (path === DOMAINNAME && Buffer.byteLength(value) > HOSTNAME_MAX)
      throw invalidOption(option, `has more than ${HOSTNAME_MAX} bytes`)
    if (path === DOMAINNAME && name !== undefined && name !== value)
      throw conflict(option, `is ${value}, and domainname() said ${name}`)
  }
  if (written(configuration).length === 0) return
  if (rootfs === undefined || configuration.proc === 'bind') requireProcfs()
}

/** Whether it joins a namespace of this kind that is another one than this program's. */
function isApart({ isolation }: Configuration, kind: proc.Sysctl['namespace']): boolean {
  const how = isolation?.[kind]
  if (typeof how !== 'object') return false
  try {
    return !same(kind, how.join)
  } catch {
    return true // that it is missing is said in another place
  }
}
