import { idOption, invalidOption, onlyKeys, textOption, wordOption } from '../base/index.js'
import {
  type AttributeSettings,
  type Attributes,
  attributeNames,
  attributeSettings,
  fresh,
} from './attributes.js'
import { checkTarget, modeOption, numberOption, ours } from './made.js'
import { type PropagationMode, type PropagationOption, propagationOption } from './propagation.js'

/** What every mount of a file system takes. Default: `nosuid` and `nodev`. */
export interface NewMountOptions extends Attributes {
  /** Which mounts it hears of, and tells others of. Default: none. */
  propagation?: PropagationOption
}

/** Options of {@link fileSystem}. */
export interface FileSystemMountOptions extends NewMountOptions {
  /** A block device of the host by its path, or what else it takes. Default: its name. */
  source?: string
  /**
   * Its own options, and those that all file systems have, as `sync`, `dirsync` and
   * `lazytime`, as mount(8) spells them; `true` for one without a value, `false` for
   * one that is left out.
   */
  options?: Readonly<Record<string, string | number | boolean>>
}

/** A file system of any kind. */
export interface FileSystemMount extends AttributeSettings {
  type: 'filesystem'
  fstype: string
  source: string
  target: string
  options: Readonly<Record<string, string | true>>
  propagation: readonly PropagationMode[]
}

/**
 * Mounts a file system of any kind that this kernel has. fsopen(2), fsconfig(2),
 * fsmount(2). Equivalent to: `mount -t FSTYPE -o OPTIONS SOURCE TARGET`
 *
 * `ENODEV` when the kernel does not know it. In a user namespace the kernel allows
 * only some: tmpfs, ramfs, proc, sysfs, devpts, mqueue, overlay, FUSE.
 */
export function fileSystem(
  fstype: string,
  target: string,
  options: FileSystemMountOptions = {},
): FileSystemMount {
  onlyKeys('fileSystem', options, [...attributeNames, 'propagation', 'source', 'options'])
  const type = textOption('fileSystem', fstype)
  const { source = type } = options
  return ours({
    type: 'filesystem',
    fstype: type,
    source: textOption('fileSystem.source', source),
    target: checkTarget('fileSystem', target),
    options: ownOptions('fileSystem.options', options.options ?? {}),
    ...attributeSettings('fileSystem', options, fresh),
    propagation: propagationOption('fileSystem.propagation', options.propagation),
  })
}

/** Options of a file system as {@link FileSystemMount} has them. */
export function ownOptions(option: string, options: unknown): Record<string, string | true> {
  if (Object.prototype.toString.call(options) !== '[object Object]')
    throw invalidOption(option, 'must be an object, { name: value }')
  const own: Record<string, string | true> = {}
  for (const [name, value] of Object.entries(options as object)) {
    if (!/^[^\s,=\0]+$/.test(name))
      throw invalidOption(option, `${JSON.stringify(name)} is no name of an option`)
    if (value === false) continue
    if (value === true) own[name] = true
    else if (typeof value === 'number' && Number.isSafeInteger(value)) own[name] = `${value}`
    else own[name] = textOption(`${option}.${name}`, value)
  }
  return own
}

/** What one of the kernel's own file systems has when nothing is said. */
type Defaults = Partial<Record<keyof Attributes, boolean>>

function kernelFileSystem(
  fstype: string,
  target: string,
  options: NewMountOptions,
  known: readonly string[],
  own: Readonly<Record<string, string | true>>,
  defaults: Defaults,
): FileSystemMount {
  onlyKeys(fstype, options, [...attributeNames, 'propagation', ...known])
  return ours({
    type: 'filesystem',
    fstype,
    source: fstype,
    target: checkTarget(fstype, target),
    options: own,
    ...attributeSettings(fstype, options, { ...fresh, ...defaults } as AttributeSettings),
    propagation: propagationOption(`${fstype}.propagation`, options.propagation),
  })
}

const hidings = ['off', 'noaccess', 'invisible', 'ptraceable'] as const

/** Options of {@link proc}. */
export interface ProcOptions extends NewMountOptions {
  /**
   * What other users see of processes: all, `'off'`; not what they do, `'noaccess'`;
   * nothing, `'invisible'`; or `'ptraceable'`, nobody but who may trace them.
   * Numbers as in proc(5): 0, 1, 2, 4. Default: `'off'`.
   */
  hidepid?: (typeof hidings)[number] | 0 | 1 | 2 | 4
  /** Nothing but processes is in it. Linux 5.8. */
  subset?: 'pid'
  /** Group whose members see all processes nevertheless. */
  gid?: number
}

/**
 * Mounts another proc, which shows the processes of the container's PID namespace.
 * At `/proc` it stands in for the one that every container has, with its masks.
 * proc(5). Equivalent to: `mount -t proc -o nosuid,nodev,noexec,hidepid=… proc TARGET`
 */
export function proc(target: string, options: ProcOptions = {}): FileSystemMount {
  const own: Record<string, string> = {}
  const { hidepid, subset, gid } = options
  if (hidepid !== undefined) own.hidepid = hidingOf(hidepid)
  if (subset !== undefined) own.subset = wordOption('proc.subset', subset, ['pid'])
  if (gid !== undefined) own.gid = `${idOption('proc.gid', gid)}`
  const defaults = { noexec: true }
  return kernelFileSystem('proc', target, options, ['hidepid', 'subset', 'gid'], own, defaults)
}

function hidingOf(value: unknown): string {
  if (typeof value === 'number' && [0, 1, 2, 4].includes(value)) return `${value}`
  // The numbers are what kernels before 5.8 know too.
  const word = wordOption('proc.hidepid', value, hidings)
  return `${[0, 1, 2, 4][hidings.indexOf(word)]}`
}

/**
 * Mounts another sysfs, whose `class/net` is that of the container's network
 * namespace; read-only unless asked otherwise. At `/sys` it stands in for the one
 * that every container has. sysfs(5). Equivalent to:
 * `mount -t sysfs -o ro,nosuid,nodev,noexec sysfs TARGET`
 */
export function sysfs(target: string, options: NewMountOptions = {}): FileSystemMount {
  return kernelFileSystem('sysfs', target, options, [], {}, { readonly: true, noexec: true })
}

/** Options of {@link devpts}. */
export interface DevptsOptions extends NewMountOptions {
  /** Permission bits of its `ptmx`. Default: 0o666. */
  ptmxMode?: number
  /** Permission bits of terminals. Default: 0o620. */
  mode?: number
  /** Group of terminals. Default: that of who opens one. */
  gid?: number
  /** Most terminals that there can be. Default: the kernel's, kernel.pty.max. */
  max?: number
}

/**
 * Mounts pseudo-terminals that nobody else sees: a new instance. devpts(5).
 * Equivalent to: `mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts TARGET`
 */
export function devpts(target: string, options: DevptsOptions = {}): FileSystemMount {
  const octal = (name: 'ptmxMode' | 'mode', otherwise: number) =>
    `0${modeOption(`devpts.${name}`, options[name], otherwise).toString(8)}`
  const own: Record<string, string> = {
    ptmxmode: octal('ptmxMode', 0o666),
    mode: octal('mode', 0o620),
  }
  const { gid, max } = options
  if (gid !== undefined) own.gid = `${idOption('devpts.gid', gid)}`
  if (max !== undefined) own.max = `${numberOption('devpts.max', max, 2 ** 20)}`
  const known = ['ptmxMode', 'mode', 'gid', 'max']
  return kernelFileSystem('devpts', target, options, known, own, { nodev: false, noexec: true })
}

/**
 * Mounts the message queues of the container's IPC namespace. mq_overview(7).
 * Equivalent to: `mount -t mqueue mqueue TARGET`
 */
export function mqueue(target: string, options: NewMountOptions = {}): FileSystemMount {
  return kernelFileSystem('mqueue', target, options, [], {}, { noexec: true })
}
