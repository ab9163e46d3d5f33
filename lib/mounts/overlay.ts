import {
  conflict,
  flagOption,
  hostPathOption,
  invalidOption,
  onlyKeys,
  parseSize,
  type Size,
  wordOption,
} from '../base/index.js'
import {
  type AttributeSettings,
  type Attributes,
  attributeNames,
  attributeSettings,
  fresh,
} from './attributes.js'
import { checkTarget, ours } from './made.js'
import { type PropagationMode, type PropagationOption, propagationOption } from './propagation.js'

/** What overlayfs can do besides; the kernel's documentation, filesystems/overlayfs. */
export interface OverlayFeatures {
  /** Whether a directory of a lower layer can be renamed, and such renames are followed. */
  redirectDir?: 'on' | 'off' | 'follow' | 'nofollow'
  /** Hard links stay such when they are copied up. */
  index?: 'on' | 'off'
  /** It can be exported by NFS. */
  nfsExport?: 'on' | 'off'
  /** Inode numbers are unique, and stay when a file is copied up. */
  xino?: 'on' | 'off' | 'auto'
  /** A change of owner or mode copies no data. */
  metacopy?: 'on' | 'off'
  /** Where the file system's id comes from. Linux 5.8 and 6.6. */
  uuid?: 'on' | 'off' | 'null' | 'auto'
  /** Whether digests of fs-verity are looked at. Linux 6.6. */
  verity?: 'on' | 'off' | 'require'
  /** Nothing is synced: after a crash the upper directory is not to be used. Linux 5.10. */
  volatile?: boolean
  /** Its notes are in attributes of users, as they have to be in a user namespace. Linux 5.11. */
  userxattr?: boolean
}

/** Options of {@link overlay}. */
export interface OverlayOptions extends OverlayFeatures {
  /** Directories of the host, the uppermost first. At least one. None is changed. */
  lower: readonly string[]
  /** Directories of the host below those, of which only data is found, by metacopy. Linux 6.5. */
  dataOnly?: readonly string[]
  /**
   * Directory that takes what the container writes. Default: a file system in
   * memory that goes with the container.
   */
  upper?: string
  /** Empty directory of the same file system as `upper`, which overlayfs works in. */
  work?: string
  /** Most that can be written where no `upper` is given. Default: 512 MiB. */
  size?: Size
}

/** Options of {@link overlay} below a root. */
export interface OverlayMountOptions extends OverlayOptions, Attributes {
  /** Which mounts it hears of, and tells others of. Default: none. */
  propagation?: PropagationOption
}

interface Layers extends OverlayFeatures {
  type: 'overlay'
  lower: readonly string[]
  dataOnly?: readonly string[]
  upper: string | undefined
  work: string | undefined
  size: number
}

/** A root that is a copy-on-write view; made by {@link overlay}. */
export interface OverlayRoot extends Layers {
  target?: undefined
  readonly?: boolean
}

/** A copy-on-write view that is mounted somewhere below the root. */
export interface OverlayMount extends Layers, AttributeSettings {
  target: string
  propagation: readonly PropagationMode[]
}

const features = {
  redirectDir: ['redirect_dir', ['on', 'off', 'follow', 'nofollow']],
  index: ['index', ['on', 'off']],
  nfsExport: ['nfs_export', ['on', 'off']],
  xino: ['xino', ['on', 'off', 'auto']],
  metacopy: ['metacopy', ['on', 'off']],
  uuid: ['uuid', ['on', 'off', 'null', 'auto']],
  verity: ['verity', ['on', 'off', 'require']],
} as const

const switches = ['volatile', 'userxattr'] as const

const rootOptions = [
  'lower',
  'dataOnly',
  'upper',
  'work',
  'size',
  ...Object.keys(features),
  ...switches,
]

/**
 * A copy-on-write view of one or several directories: all can be changed
 * inside, nothing changes outside. overlayfs, mount(2). Equivalent to:
 * `mount -t overlay -o lowerdir=…,upperdir=…,workdir=… overlay ROOT`
 *
 * An overlay shows the file system that a directory is on and not what is
 * mounted below it. `overlay({ lower: ['/'] })`, the host's own root, is for
 * trying things out: root in the container can read every file of the host
 * through it.
 */
export function overlay(options: OverlayOptions): OverlayRoot
/**
 * The same, mounted at `target`, below a root. With `readonly` and at least two
 * lower directories it has no upper one.
 */
export function overlay(target: string, options: OverlayMountOptions): OverlayMount
export function overlay(
  target: string | OverlayOptions,
  options?: OverlayMountOptions,
): OverlayRoot | OverlayMount {
  if (typeof target !== 'string') {
    onlyKeys('overlay', target, rootOptions)
    return layers(target)
  }
  const given = options as OverlayMountOptions
  onlyKeys('overlay', given, [...rootOptions, ...attributeNames, 'propagation'])
  return ours({
    ...layers(given),
    target: checkTarget('overlay', target),
    ...attributeSettings('overlay', given, fresh),
    propagation: propagationOption('overlay.propagation', given.propagation),
  })
}

function directories(option: string, paths: readonly string[]): string[] {
  return paths.map(path => hostPathOption(option, path))
}

function layers(options: OverlayOptions): Layers & { target?: undefined } {
  const { lower, upper, work, dataOnly } = options
  if (!Array.isArray(lower) || lower.length === 0)
    throw invalidOption('overlay.lower', 'must be a list of at least one directory')
  if (dataOnly !== undefined && !Array.isArray(dataOnly))
    throw invalidOption('overlay.dataOnly', 'must be a list of directories')
  if ((upper === undefined) !== (work === undefined))
    throw conflict('overlay', 'upper and work go together: give both, or none')
  if (upper !== undefined && options.size !== undefined)
    throw conflict('overlay.size', 'limits the layer in memory, and upper is given instead')
  const layers: Layers = {
    type: 'overlay',
    lower: directories('overlay.lower', lower),
    upper: upper === undefined ? undefined : hostPathOption('overlay.upper', upper),
    work: work === undefined ? undefined : hostPathOption('overlay.work', work),
    // The kernel takes 0 for "no limit".
    size: parseSize('overlay.size', options.size ?? '512MiB', 1),
    ...(dataOnly?.length ? { dataOnly: directories('overlay.dataOnly', dataOnly) } : {}),
    ...checkFeatures(options),
  }
  return layers as Layers & { target?: undefined }
}

function checkFeatures(options: OverlayFeatures): OverlayFeatures {
  const checked: Record<string, string | boolean> = {}
  for (const [name, [, words]] of Object.entries(features)) {
    const value = options[name as keyof typeof features]
    if (value !== undefined) checked[name] = wordOption<string>(`overlay.${name}`, value, words)
  }
  for (const name of switches)
    if (flagOption(`overlay.${name}`, options[name], false)) checked[name] = true
  return checked
}

/** An {@link OverlayRoot} of unknown make, checked, as a copy of our own. */
export function checkOverlay(root: OverlayRoot): OverlayRoot {
  const { readonly: _, ...options } = root
  return overlay(optionsOf(options))
}

/** An {@link OverlayMount} of unknown make, checked, as one of ours. */
export function checkOverlayMount(mount: OverlayMount): OverlayMount {
  const { target, ...options } = mount
  return overlay(target, optionsOf(options) as OverlayMountOptions)
}

/** What it was made of. */
function optionsOf<T extends Layers>({ type: _, size, ...options }: T) {
  const { upper, work, ...rest } = options
  if (upper === undefined) return { ...rest, size }
  return { ...rest, upper, work: work ?? '' }
}

/** Commas, colons and backslashes mean something in overlayfs's options. */
function escapeOption(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&')
}

/**
 * Its options as one text, as mount(2) takes them, with these directories on top.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when they are longer than a page.
 */
export function overlayText(
  { lower, dataOnly = [], ...options }: Pick<Layers, 'lower' | 'dataOnly'> & OverlayFeatures,
  upper: string | undefined,
  work: string,
): string {
  const data = dataOnly.map(path => `::${escapeOption(path)}`).join('')
  const parts = [`lowerdir=${lower.map(escapeOption).join(':')}${data}`]
  if (upper !== undefined)
    parts.push(`upperdir=${escapeOption(upper)}`, `workdir=${escapeOption(work)}`)
  for (const [name, [spelt]] of Object.entries(features)) {
    const value = options[name as keyof typeof features]
    if (value !== undefined) parts.push(`${spelt}=${value}`)
  }
  for (const name of switches) if (options[name]) parts.push(name)
  const text = parts.join(',')
  if (Buffer.byteLength(text) > 4095)
    throw invalidOption('overlay.lower', 'its paths together are longer than 4095 bytes')
  return text
}
