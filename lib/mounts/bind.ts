import { flagOption, hostPathOption, onlyKeys } from '../base/index.js'
import {
  type AttributeSettings,
  type Attributes,
  attributeNames,
  attributeSettings,
  checkAttributes,
  unchanged,
} from './attributes.js'
import { type IdMap, idMapOption } from './idmap.js'
import { checkTarget, ours } from './made.js'
import { type PropagationMode, type PropagationOption, propagationOption } from './propagation.js'

/**
 * Options of {@link bind}. Attributes that are left out, or `'keep'`, are those of
 * the source; `false` takes one away.
 */
export interface BindOptions extends Partial<AttributeSettings> {
  /** Nothing below it can be written, submounts included. Default: as the source. */
  readonly?: boolean | 'keep'
  /** Set-user-ID programs have no effect on it. Default: true. */
  nosuid?: boolean | 'keep'
  /** Device files on it can't be opened. Default: true. */
  nodev?: boolean | 'keep'
  /** Submounts of the source come along. Default: true. */
  recursive?: boolean
  /**
   * Which attributes the submounts get: the same, `'alike'`; none, `'keep'`; or
   * these, which the mount itself has unless it is told otherwise: `rro` and its
   * like of mount(8). Default: `'alike'`.
   */
  submounts?: 'alike' | 'keep' | Attributes
  /**
   * Which mounts it hears of, and tells others of. `'rslave'`: what is later mounted
   * below the source on the host is seen here too. `'rshared'`: and the other way
   * round, if the source lies on a shared mount. Default: neither.
   */
  propagation?: PropagationOption
  /**
   * Files have other owners here than there. Needs CAP_SYS_ADMIN where the file system
   * belongs, and one that can do it: ext4, xfs, btrfs, tmpfs (Linux 6.3), and
   * most others. Default: none.
   */
  idmap?: IdMap
  /**
   * It is left out if it can't be made, as when there is no source: `box.omitted` then
   * says why. Default: false.
   */
  optional?: boolean
}

/** A directory or file of the host, seen at another place. */
export interface BindMount extends AttributeSettings {
  type: 'bind'
  source: string
  target: string
  recursive: boolean
  submounts: 'alike' | 'keep' | Attributes
  propagation: readonly PropagationMode[]
  idmap?: IdMap
  optional: boolean
}

/**
 * Makes the host's `source`, a directory or a file, appear at `target`.
 * open_tree(2), move_mount(2), mount_setattr(2). Equivalent to: `mount --rbind
 * SOURCE TARGET`, `docker run --volume SOURCE:TARGET`
 *
 * A target that does not exist is made, and removed again with the container.
 */
export function bind(source: string, target: string, options: BindOptions = {}): BindMount {
  onlyKeys('bind', options, [
    ...attributeNames,
    'recursive',
    'submounts',
    'propagation',
    'idmap',
    'optional',
  ])
  const { submounts = 'alike' } = options
  const idmap = idMapOption('bind.idmap', options.idmap)
  return ours({
    type: 'bind',
    source: hostPathOption('bind', source),
    target: checkTarget('bind', target),
    ...attributeSettings('bind', options, { ...unchanged, nosuid: true, nodev: true }),
    recursive: flagOption('bind.recursive', options.recursive, true),
    submounts:
      submounts === 'alike' || submounts === 'keep'
        ? submounts
        : checkAttributes('bind.submounts', submounts),
    propagation: propagationOption('bind.propagation', options.propagation),
    ...(idmap === undefined ? {} : { idmap }),
    optional: flagOption('bind.optional', options.optional, false),
  })
}
