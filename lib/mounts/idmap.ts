import { constants, openSync } from 'node:fs'
import {
  checkIdRanges,
  Descriptor,
  flagOption,
  hostPathOption,
  invalidOption,
  onlyKeys,
  writeIdMap,
} from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  kinds,
  O_CLOEXEC,
  O_RDONLY,
  type Operation,
  type Slot,
  step,
  type WaitingStep,
} from '../plan/index.js'
import { job } from '../run/index.js'
import { MOUNT_ATTR_IDMAP, setAttributes } from './operations.js'

/** One range of owners: `size` of them, from `containerId` on the disk and `hostId` as seen. */
export interface IdRange {
  /** First owner that files have, 0 to 2^32 - 2. */
  containerId: number
  /** Who that is where it is mounted, as this program's user namespace has the ids. */
  hostId: number
  /** How many. Default: 1. */
  size?: number
}

/**
 * Who the owners of files are where they are mounted: as a user namespace maps its
 * ids, which its path names; or as these ranges say. mount_setattr(2) MOUNT_ATTR_IDMAP
 */
export type IdMap = (
  | { namespace: string }
  | { uid: readonly IdRange[]; gid: readonly IdRange[] }
) & {
  /** Submounts are mapped too; `ridmap` of the OCI. Default: false. */
  recursive?: boolean
}

/** An {@link IdMap} checked, as a copy of our own. */
export function idMapOption(option: string, value: unknown): IdMap | undefined {
  if (value === undefined) return undefined
  onlyKeys(option, value, ['namespace', 'uid', 'gid', 'recursive'])
  const { namespace, uid, gid, recursive } = value as Record<string, unknown>
  const deep = { recursive: flagOption(`${option}.recursive`, recursive, false) }
  if (namespace === undefined)
    return {
      uid: checkIdRanges(`${option}.uid`, uid),
      gid: checkIdRanges(`${option}.gid`, gid),
      ...deep,
    }
  if (uid !== undefined || gid !== undefined)
    throw invalidOption(option, 'is a namespace, or uid and gid, not both')
  return { namespace: hostPathOption(`${option}.namespace`, namespace), ...deep }
}

/**
 * A number that no other descriptor of init has: the kernel is told it within a
 * structure, which is written before anything has been opened.
 */
const USERNS = 250

/** Maps the owners of the mount in `tree`, which nobody has used yet, by `map`. */
export function mapOwners(map: IdMap, tree: Slot, namespace: Slot): Operation[] {
  const open =
    'namespace' in map
      ? [
          call('openat', [AT_FDCWD, map.namespace, flags(O_RDONLY, O_CLOEXEC)], {
            result: namespace,
          }),
        ]
      : []
  return [
    ...open,
    call('dup3', [namespace, USERNS, O_CLOEXEC]),
    setAttributes(tree, {
      set: [MOUNT_ATTR_IDMAP],
      namespace: USERNS,
      recursive: map.recursive === true,
    }),
    call('close', [USERNS]),
  ]
}

/**
 * Where a user namespace that maps by ranges comes from: the host makes it while init
 * waits. None for one that is there.
 */
export function idMapStep(target: string, map: IdMap, namespace: Slot): WaitingStep[] {
  if ('namespace' in map) return []
  const run = () => mappedNamespace(map.uid, map.gid)
  return [{ side: 'waiting', name: `id map of ${target}`, receive: namespace, run }]
}

/** A user namespace with these maps, in which is nobody. user_namespaces(7) */
async function mappedNamespace(
  uid: readonly IdRange[],
  gid: readonly IdRange[],
): Promise<Descriptor> {
  let made: Descriptor | undefined
  try {
    await job('an id map', [
      step('user namespace', call('unshare', [kinds.user.flag])),
      {
        side: 'waiting',
        name: 'id maps',
        run: ({ pid, namespace }) => {
          writeIdMap(`/proc/${pid}/uid_map`, uid)
          writeIdMap(`/proc/${pid}/gid_map`, gid)
          made = new Descriptor(openSync(namespace('user'), constants.O_RDONLY))
        },
      },
    ])
  } catch (error) {
    made?.close()
    throw error
  }
  return made as Descriptor
}
