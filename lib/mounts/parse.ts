import { invalidOption, textsOption } from '../base/index.js'
import type { AccessTime, Attributes } from './attributes.js'
import { isPropagation, type PropagationMode } from './propagation.js'

/** What a list of options in the words of mount(8), and of the OCI, comes to. */
export interface ParsedOptions {
  /** It is a bind mount; `bind`, `rbind`. */
  bind: boolean
  /** Submounts come along; `rbind`. */
  recursive: boolean
  /** A mount that is there is changed; `remount`. */
  remount: boolean
  /** What is said of the mount itself; `ro`, `nosuid`, `noatime` … */
  attributes: Attributes
  /** What is said of it and all below it; `rro`, `rnosuid`, `rnoatime` … */
  submounts: Attributes
  /** In the order given; `private`, `rslave` … */
  propagation: PropagationMode[]
  /** Its owners are mapped: those of the mount itself, or those of submounts too. */
  idmap: 'idmap' | 'ridmap' | undefined
  /** A tmpfs begins as a copy of what it covers, as `copyUp` of `tmpfs()`; `tmpcopyup`. */
  copyUp: boolean
  /** What is left is the file system's; `size=64k`, `lazytime` … */
  options: Record<string, string | true>
}

type Change = [name: keyof Attributes, value: boolean | AccessTime]

const flags: Record<string, Change> = {
  ro: ['readonly', true],
  rw: ['readonly', false],
  nosuid: ['nosuid', true],
  suid: ['nosuid', false],
  nodev: ['nodev', true],
  dev: ['nodev', false],
  noexec: ['noexec', true],
  exec: ['noexec', false],
  nosymfollow: ['nosymfollow', true],
  symfollow: ['nosymfollow', false],
  nodiratime: ['nodiratime', true],
  diratime: ['nodiratime', false],
  noatime: ['atime', 'noatime'],
  atime: ['atime', 'relatime'],
  relatime: ['atime', 'relatime'],
  // It takes back what the kernel does anyway.
  norelatime: ['atime', 'relatime'],
  strictatime: ['atime', 'strictatime'],
  nostrictatime: ['atime', 'relatime'],
}

// Of the file system as a whole; the kernel knows them by these names. The second
// is what takes the first one back.
const wholes = new Map([
  ['sync', 'async'],
  ['dirsync', ''],
  ['lazytime', 'nolazytime'],
  ['mand', 'nomand'],
])

// They ask for what is so anyway: messages come back with the error, and file
// systems count versions of inodes or don't (Linux 6.1). The rest is mount(8)'s own.
const idle =
  /^(defaults|silent|loud|noiversion|auto|noauto|nofail|_netdev|user|nouser|users|group|owner|comment=.*|x-.*|X-.*)$/

/**
 * Understands options as mount(8) and the OCI runtime specification have them, each
 * a text of its own. What comes later wins.
 *
 * ```ts
 * const { attributes, options } = mounts.parseMountOptions(['ro', 'nosuid', 'size=64k'])
 * mounts.fileSystem('tmpfs', '/run', { ...attributes, options })
 * ```
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for `iversion`, which the kernel has no
 * more, and for what is no option at all.
 */
export function parseMountOptions(options: readonly string[]): ParsedOptions {
  const parsed: ParsedOptions = {
    bind: false,
    recursive: false,
    remount: false,
    attributes: {},
    submounts: {},
    propagation: [],
    idmap: undefined,
    copyUp: false,
    options: {},
  }
  for (const option of textsOption('parseMountOptions', options)) parseOption(parsed, option)
  return parsed
}

function parseOption(parsed: ParsedOptions, option: string): void {
  if (setAttribute(parsed, option) || setKind(parsed, option) || idle.test(option)) return
  if (isPropagation(option)) {
    parsed.propagation.push(option)
    return
  }
  if (option === 'iversion' || option.startsWith(',') || option.startsWith('='))
    throw invalidOption(
      'parseMountOptions',
      `${JSON.stringify(option)} is nothing that this kernel knows`,
    )
  for (const [whole, opposite] of wholes) if (option === opposite) delete parsed.options[whole]
  if ([...wholes.values()].includes(option)) return
  const at = option.indexOf('=')
  if (at < 0) parsed.options[option] = true
  else parsed.options[option.slice(0, at)] = option.slice(at + 1)
}

/** One of the attributes, or with `r` of all below. */
function setAttribute(parsed: ParsedOptions, option: string): boolean {
  // `rw` and `relatime` begin with the letter too.
  const own = Object.hasOwn(flags, option)
  const name = own ? option : option.slice(1)
  if (!own && (!option.startsWith('r') || !Object.hasOwn(flags, name))) return false
  const [attribute, value] = flags[name] as Change
  Object.assign(own ? parsed.attributes : parsed.submounts, { [attribute]: value })
  return true
}

function setKind(parsed: ParsedOptions, option: string): boolean {
  switch (option) {
    case 'bind':
    case 'rbind':
      parsed.bind = true
      parsed.recursive = option === 'rbind'
      return true
    case 'remount':
      parsed.remount = true
      return true
    case 'idmap':
    case 'ridmap':
      parsed.idmap = option
      return true
    case 'tmpcopyup':
      parsed.copyUp = true
      return true
    default:
      return false
  }
}
