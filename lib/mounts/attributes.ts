import { flagOption, invalidOption, onlyKeys } from '../base/index.js'
import { type Named, named, type Operation, type Slot } from '../plan/index.js'
import { MOUNT_ATTR, setAttributes } from './operations.js'

// The options of mount(8) that belong to a mount and not to its file system.

/** When reading a file changes its time of access; mount(8). */
export type AccessTime = 'relatime' | 'noatime' | 'strictatime'

/** What is changed of a mount; what is left out stays as it is. mount_setattr(2) */
export interface Attributes {
  /** Nothing can be written to it. */
  readonly?: boolean
  /** Set-user-ID programs, and file capabilities, have no effect on it. */
  nosuid?: boolean
  /** Device files on it can't be opened. */
  nodev?: boolean
  /** Programs on it can't be executed. */
  noexec?: boolean
  /** Symbolic links on it are not followed. Linux 5.14. */
  nosymfollow?: boolean
  /** Reading a directory does not change its time of access. */
  nodiratime?: boolean
  /** When reading a file does. */
  atime?: AccessTime
}

/** The same, all said; `'keep'` is what it has already. */
export type AttributeSettings = {
  [name in keyof Attributes]-?: Exclude<Attributes[name], undefined> | 'keep'
}

const flagNames = ['readonly', 'nosuid', 'nodev', 'noexec', 'nosymfollow', 'nodiratime'] as const

/** The names of all attributes, as options have them. */
export const attributeNames: readonly (keyof Attributes)[] = [...flagNames, 'atime']

const accessTimes: Record<AccessTime, Named> = {
  relatime: named('MOUNT_ATTR_RELATIME', 0),
  noatime: named('MOUNT_ATTR_NOATIME', 0x10),
  strictatime: MOUNT_ATTR.strictatime,
}

/** All bits that say which {@link AccessTime} it is. */
const ATIME_MASK = named('MOUNT_ATTR__ATIME', 0x70)

/**
 * The attributes among `options`, checked; `defaults` for what is left out.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`, naming `option.NAME`.
 */
export function attributeSettings(
  option: string,
  options: Partial<AttributeSettings> | Attributes,
  defaults: AttributeSettings,
): AttributeSettings {
  const settings = { ...defaults }
  for (const name of flagNames) {
    const value = options[name]
    if (value === undefined) continue
    settings[name] =
      value === 'keep' && defaults.readonly === 'keep'
        ? value
        : flagOption(`${option}.${name}`, value, false)
  }
  const { atime } = options
  if (atime !== undefined && (atime !== 'keep' || defaults.readonly === 'keep'))
    settings.atime = accessTime(`${option}.atime`, atime)
  return settings
}

function accessTime(option: string, value: unknown): AccessTime | 'keep' {
  if (value === 'keep' || (typeof value === 'string' && Object.hasOwn(accessTimes, value)))
    return value as AccessTime | 'keep'
  const known = Object.keys(accessTimes).join(', ')
  throw invalidOption(option, `${JSON.stringify(value)} is none; ${known} are`)
}

/** What a mount that is there keeps when nothing is said. */
export const unchanged: AttributeSettings = {
  readonly: 'keep',
  nosuid: 'keep',
  nodev: 'keep',
  noexec: 'keep',
  nosymfollow: 'keep',
  nodiratime: 'keep',
  atime: 'keep',
}

/** What a new mount of a file system has when nothing is said. */
export const fresh: AttributeSettings = {
  readonly: false,
  nosuid: true,
  nodev: true,
  noexec: false,
  nosymfollow: false,
  nodiratime: false,
  atime: 'relatime',
}

/** {@link Attributes} that stand alone, as those of submounts; without what they keep. */
export function checkAttributes(option: string, attributes: unknown): Attributes {
  onlyKeys(option, attributes, attributeNames)
  const all = attributeSettings(option, attributes as Attributes, unchanged)
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== 'keep'))
}

/** The flags that fsmount(2) takes. */
export function attributeFlags(settings: AttributeSettings): Named[] {
  return changes(settings).set.filter(flag => Number(flag.value) !== 0)
}

function changes(settings: Attributes | AttributeSettings): { set: Named[]; clear: Named[] } {
  const [set, clear]: [Named[], Named[]] = [[], []]
  for (const name of flagNames) {
    const value = settings[name]
    if (value === true) set.push(MOUNT_ATTR[name])
    else if (value === false) clear.push(MOUNT_ATTR[name])
  }
  const { atime } = settings
  if (atime !== undefined && atime !== 'keep') {
    set.push(accessTimes[atime])
    clear.push(ATIME_MASK)
  }
  return { set, clear }
}

/**
 * Changes the attributes of the mount in `tree`. mount_setattr(2): `EPERM` for one
 * that an outer user namespace has set, and so locked; mount_namespaces(7)
 */
export function changeAttributes(
  tree: Slot,
  settings: Attributes | AttributeSettings,
  recursive: boolean,
): Operation[] {
  const { set, clear } = changes(settings)
  return set.length + clear.length > 0 ? [setAttributes(tree, { set, clear, recursive })] : []
}
