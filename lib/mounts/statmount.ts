import {
  CofferdamError,
  flagOption,
  invalidOption,
  native,
  nativeError,
  onlyKeys,
  type Propagation,
  show,
  textOption,
  toBytes,
} from '../base/index.js'
import { decodeStatMount, fields, MOUNT_ATTR_IDMAP } from './statmount-decode.js'

/** Ids of a mount that is idmapped: those in the file system are seen as others. */
export interface MountIdMapping {
  /** First id in the user namespace that the map was taken from. */
  containerId: number
  /** First id that it becomes, as this program's user namespace has it; 4294967295 for none. */
  hostId: number
  size: number
}

/**
 * A mount as statmount(2) has it. What this kernel or this mount does not have
 * is missing. Names that are no UTF-8 are as {@link fromBytes} has them.
 */
export interface StatMount {
  /** Number of the mount that no other one of this boot ever gets. */
  id: bigint
  /** The same of the mount that it is on; its own when there is none. */
  parent: bigint
  /** Its number in {@link MountInfo}, and that of its parent. */
  oldId: number
  oldParent: number
  /** The mount namespace it is in, by its number; `namespaces.mountNamespaceId()`. Since Linux 6.11. */
  namespace?: bigint
  /** The file system's device. */
  major: number
  minor: number
  /** The file system's kind, as `f_type` of statfs(2). */
  magic: bigint
  /** Flags of mount(2) that the file system has, as `SB_RDONLY`, 1. */
  superFlags: number
  /** Flags of mount_setattr(2), as `MOUNT_ATTR_RDONLY`, 1. */
  attributes: bigint
  /** The same in the words of {@link MountInfo.options}: `'rw,nosuid,relatime'`. */
  options: string
  propagation: Propagation
  /** The directory of its file system that is mounted. */
  root?: string
  /** Where it is, seen from this program's root directory, or from that of the other namespace. */
  mountPoint?: string
  fsType?: string
  /** `'sshfs'` of `fuse.sshfs`. Since Linux 6.11. */
  fsSubtype?: string
  /** Since Linux 6.13. */
  source?: string
  /**
   * The file system's own options, as the kernel prints them, without those that
   * `superFlags` has; see {@link parseOptions}. Since Linux 6.11.
   */
  superOptions?: string
  /** The same one by one, nothing escaped. Since Linux 6.13. */
  optionList?: string[]
  /** Options of security modules likewise. Since Linux 6.13. */
  securityOptions?: string[]
  /** Of an idmapped mount. Since Linux 6.15. */
  uidMappings?: MountIdMapping[]
  gidMappings?: MountIdMapping[]
  /** Which of these the kernel could tell of any mount, as `STATMOUNT_*`. Since Linux 6.15. */
  supported?: bigint
}

/** Where {@link statmount} and {@link listmount} look. */
export interface InNamespace {
  /**
   * Another mount namespace, by the number that `namespaces.mountNamespaceId()` gives.
   * Default: this program's. Since Linux 6.11.
   */
  namespace?: bigint
}

/** Options of {@link listmount}. */
export interface ListMountOptions extends InNamespace {
  /** Later ones first. Default: false. Since Linux 6.12. */
  reverse?: boolean
}

/** The root of the namespace, as {@link listmount} takes it; LSMT_ROOT. */
export const ROOT = 0xffff_ffff_ffff_ffffn

/**
 * All that the kernel has on one mount. statmount(2), since Linux 6.8.
 *
 * The file system is not asked, so that one that hangs doesn't matter.
 *
 * @param id Its number, of {@link listmount} or {@link mountNumber}.
 * @throws CofferdamError `ENOENT` when there is no such mount in that namespace,
 * `EINVAL` for a number as {@link MountInfo} has it, `EPERM` when it can't be seen
 * from this program's root directory and this user may not look further
 * (CAP_SYS_ADMIN), `ERR_UNSUPPORTED` where the kernel can't.
 */
export function statmount(id: bigint, options: InNamespace = {}): StatMount {
  onlyKeys('statmount', options, ['namespace'])
  const namespace = idOption('statmount.namespace', options.namespace ?? 0n)
  const wanted = idOption('id', id)
  const ask = (mask: bigint) =>
    attempt('statmount', namespace, () => native().statmount(wanted, namespace, mask))
  const found = decodeStatMount(ask(fields.all))
  // No other has them, and early kernels that can tell have a defect there (statmount_string()).
  if ((found.attributes & MOUNT_ATTR_IDMAP) === 0n) return found
  const { uidMappings, gidMappings } = decodeStatMount(ask(fields.idMaps))
  if (uidMappings !== undefined) found.uidMappings = uidMappings
  if (gidMappings !== undefined) found.gidMappings = gidMappings
  return found
}

/**
 * Numbers of all mounts below one, at whatever depth, in the order in which they
 * were made. listmount(2), since Linux 6.8.
 *
 * @param below Number of a mount, which is not itself among them. Default: the
 * root directory, with the mount that it is on.
 * @throws CofferdamError as {@link statmount} does.
 */
export function listmount(below: bigint = ROOT, options: ListMountOptions = {}): bigint[] {
  onlyKeys('listmount', options, ['namespace', 'reverse'])
  const reverse = flagOption('listmount.reverse', options.reverse, false)
  const namespace = idOption('listmount.namespace', options.namespace ?? 0n)
  const id = idOption('below', below)
  return [...attempt('listmount', namespace, () => native().listmount(id, namespace, reverse))]
}

/**
 * Number of the mount that a path is on, links followed. statx(2) with
 * STATX_MNT_ID_UNIQUE, since Linux 6.8.
 *
 * @throws CofferdamError of statx; `ERR_UNSUPPORTED` where the kernel can't.
 */
export function mountNumber(path: string): bigint {
  const bytes = toBytes(textOption('path', path))
  return attempt('mountNumber', 0n, () => native().mountNumber(bytes), path)
}

function idOption(option: string, value: unknown): bigint {
  if (typeof value !== 'bigint' || value < 0n || value > ROOT)
    throw invalidOption(option, `${show(value)} is no number of the kernel's; a bigint is`)
  return value
}

/** E2BIG: the kernel is too old for what the request has at its end. */
function attempt<T>(what: string, namespace: bigint, call: () => T, path?: string): T {
  try {
    return call()
  } catch (cause) {
    const error = nativeError(what, cause)
    if (!(error instanceof CofferdamError)) throw error
    const { message, errno, syscall, code } = error
    const old = code === 'ENOSYS' || (code === 'E2BIG' && namespace !== 0n)
    if (!old) throw new CofferdamError(message, { code, errno, syscall, path, cause })
    throw new CofferdamError(message, {
      code: 'ERR_UNSUPPORTED',
      errno,
      syscall,
      hint: `it needs Linux ${code === 'ENOSYS' ? '6.8' : '6.11'}; list() reads /proc/PID/mountinfo, which all have`,
      cause,
    })
  }
}
