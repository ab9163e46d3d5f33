import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
} from 'node:fs'
import { flagOption, onlyKeys, readPseudoFile } from '../base/index.js'
import { kinds, type NamespaceKind } from '../plan/index.js'
import { ownerUid, related } from './identity.js'
import { checkKinds, HOW, namespaceKinds, queries } from './reference.js'

/** A namespace that exists. */
export interface NamespaceInfo {
  kind: NamespaceKind
  /** As {@link identify} has it. */
  inode: number
  /** The processes that are in it, as far as they can be looked into, in ascending order. */
  pids: number[]
  /** Arguments of the first of them, or its name in brackets where it has none. */
  command: string | undefined
  /**
   * Processes whose children will be in it, while they are not: of PID and time
   * namespaces that have been made by unshare(2) or joined by setns(2).
   */
  forChildrenOf: number[]
  /** Inode of the user namespace that has power over it, if one may know of that. */
  owner: number | undefined
  /** Who made it, of user namespaces; an id of this program's own user namespace. */
  ownerUid: number | undefined
  /** Inode of the one that it was made in, of PID and user namespaces. */
  parent: number | undefined
  /** Where it is pinned in this program's mount namespace: {@link pin}, ip-netns(8). */
  pinnedAt: string[]
  /** Processes that have it open; looked up only if `descriptors` asks for it. */
  openIn: number[]
}

/** Which namespaces are listed, and how hard one looks for them. */
export interface ListOptions {
  /** Default: all eight. */
  kinds?: readonly NamespaceKind[]
  /**
   * Looks through the descriptors of all processes for namespaces that are kept open,
   * which takes longer the more of them are open. Default: false.
   */
  descriptors?: boolean
}

/** After so many processes others get their turn. */
const AT_ONCE = 64

/**
 * The namespaces that exist, as far as this program may see them: those that processes
 * are in or have for their children, those that are pinned in its mount namespace, and
 * the parents and owners of all these, which may have no process. `/proc/PID/ns`,
 * proc_pid_mountinfo(5), ioctl_nsfs(2). Threads that have gone their own way are not
 * looked for, nor what is pinned in other mount namespaces.
 *
 * In the order of their kinds and inodes. Processes come and go meanwhile.
 *
 * Equivalent to: `lsns`
 */
export async function list(options: ListOptions = {}): Promise<NamespaceInfo[]> {
  onlyKeys('list', options, ['kinds', 'descriptors'])
  const found = new Finder(checkKinds('kinds', options.kinds ?? namespaceKinds))
  const descriptors = flagOption('descriptors', options.descriptors, false)
  let turn = 0
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    found.lookInto(pid)
    if (descriptors) found.lookIntoDescriptors(pid)
    if (++turn % AT_ONCE === 0) await new Promise(setImmediate)
  }
  found.lookAtMounts(readPseudoFile('/proc/self/mountinfo') ?? '')
  return found.all()
}

/** A namespace on the way, with a path by which it can be asked. */
type Found = NamespaceInfo & { path: string }

/** Files of `/proc/PID/ns` that are of the process itself, and those of its children. */
const files = namespaceKinds.map(kind => [kind, kinds[kind].file] as const)
const childFiles = [
  ['pid', 'pid_for_children'],
  ['time', 'time_for_children'],
] as const

/** What `readlink` says: `net:[4026531840]`. */
const LINK = /^[a-z_]+:\[(\d+)\]$/

class Finder {
  /** The file system nsfs. */
  readonly #device = statSync('/proc/self/ns/mnt').dev
  readonly #wanted: ReadonlySet<NamespaceKind>
  readonly #files: readonly (readonly [NamespaceKind, string])[]
  readonly #children: readonly (readonly [NamespaceKind, string])[]
  readonly #found = new Map<string, Found>()
  /** By kind and inode as one text, since that is what a link says. */
  readonly #byLink = new Map<string, Found>()

  constructor(wanted: readonly NamespaceKind[]) {
    this.#wanted = new Set(wanted)
    // A kernel may be built without some kinds.
    const there = new Set(readdirSync('/proc/self/ns'))
    const looked = ([kind, file]: readonly [NamespaceKind, string]) =>
      this.#wanted.has(kind) && there.has(file)
    this.#files = files.filter(looked)
    this.#children = childFiles.filter(looked)
  }

  /** Those that a process is in. It may end meanwhile, or be another user's. */
  lookInto(pid: number): void {
    for (const [kind, file] of this.#files) {
      const link = readLink(`/proc/${pid}/ns/${file}`)
      if (link === undefined) return
      this.#of(kind, link, `/proc/${pid}/ns/${file}`)?.pids.push(pid)
    }
    for (const [kind, file] of this.#children) {
      // Before the first child there is a namespace without a name.
      const link = readLink(`/proc/${pid}/ns/${file}`)
      const entry = link === undefined ? undefined : this.#of(kind, link, `/proc/${pid}/ns/${file}`)
      if (entry !== undefined && entry.pids.at(-1) !== pid) entry.forChildrenOf.push(pid)
    }
  }

  /** Those that it has open. */
  lookIntoDescriptors(pid: number): void {
    let names: string[]
    try {
      names = readdirSync(`/proc/${pid}/fd`)
    } catch {
      return
    }
    for (const name of names) {
      const path = `/proc/${pid}/fd/${name}`
      const link = readLink(path)
      const file =
        link === undefined || !LINK.test(link) ? undefined : link.slice(0, link.indexOf(':'))
      const kind = namespaceKinds.find(one => kinds[one].file === file)
      if (kind === undefined || !this.#wanted.has(kind)) continue
      const openIn = this.#of(kind, link as string, path)?.openIn
      if (openIn !== undefined && openIn.at(-1) !== pid) openIn.push(pid)
    }
  }

  lookAtMounts(mountinfo: string): void {
    for (const { path, link } of nsfsMounts(mountinfo)) {
      const file = link.slice(0, link.indexOf(':'))
      const kind = namespaceKinds.find(one => kinds[one].file === file)
      if (kind !== undefined && this.#wanted.has(kind))
        this.#of(kind, link, path)?.pinnedAt.push(path)
    }
  }

  /** What has been found, and what that leads to. */
  all(): NamespaceInfo[] {
    for (const found of this.#found.values()) this.#ask(found)
    return [...this.#found.values()]
      .sort((a, b) => a.kind.localeCompare(b.kind) || a.inode - b.inode)
      .map(({ path: _, ...info }) => {
        info.pids.sort((a, b) => a - b)
        return {
          ...info,
          command: info.pids[0] === undefined ? undefined : commandOf(info.pids[0]),
        }
      })
  }

  /** Of the same one, as the link has it. */
  #of(kind: NamespaceKind, link: string, path: string): Found | undefined {
    const known = this.#byLink.get(link)
    if (known !== undefined) return known
    const inode = Number(LINK.exec(link)?.[1])
    if (!Number.isSafeInteger(inode)) return undefined
    const found = this.#add(kind, inode, path)
    this.#byLink.set(link, found)
    return found
  }

  #add(kind: NamespaceKind, inode: number, path: string): Found {
    const key = `${kind} ${inode}`
    let found = this.#found.get(key)
    if (found === undefined) {
      found = {
        kind,
        inode,
        pids: [],
        command: undefined,
        forChildrenOf: [],
        owner: undefined,
        ownerUid: undefined,
        parent: undefined,
        pinnedAt: [],
        openIn: [],
        path,
      }
      this.#found.set(key, found)
    }
    return found
  }

  /** Opens it, if it is still there, and asks for parent and owner. */
  #ask(found: Found): void {
    let fd: number
    try {
      fd = openSync(found.path, HOW)
    } catch {
      return
    }
    try {
      // Another process may have got the pid, or something else have been mounted there. One
      // inode of nsfs is one namespace, of whatever kind.
      const { dev, ino } = fstatSync(fd)
      if (dev === this.#device && ino === found.inode) this.#askOpen(found, fd)
    } finally {
      closeSync(fd)
    }
  }

  #askOpen(found: Found, fd: number): void {
    const { kind } = found
    if (kind === 'user') found.ownerUid = ownerUid({ fd })
    const parentKind = kind === 'pid' || kind === 'user' ? kind : undefined
    if (parentKind !== undefined) found.parent = this.#relative(parentKind, fd, queries.parent)
    found.owner = kind === 'user' ? found.parent : this.#relative('user', fd, queries.owner)
  }

  /** One that may have no process of its own is found this way alone. */
  #relative(kind: NamespaceKind, fd: number, query: number): number | undefined {
    using relative = related(fd, query)
    if (relative === undefined) return undefined
    const { ino } = fstatSync(relative.fd)
    if (!this.#wanted.has(kind) || this.#found.has(`${kind} ${ino}`)) return ino
    const found = this.#add(kind, ino, '')
    this.#askOpen(found, relative.fd)
    return ino
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Its arguments; proc_pid_cmdline(5), proc_pid_comm(5). */
function commandOf(pid: number): string | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return undefined
  }
  const words = text.replace(/\0+$/, '').replaceAll('\0', ' ')
  if (words !== '') return words
  const name = readPseudoFile(`/proc/${pid}/comm`)?.trimEnd()
  return name === undefined ? undefined : `[${name}]`
}

/** Bind mounts of namespaces: what `readlink` would say of each, and where it is. */
export function nsfsMounts(mountinfo: string): { link: string; path: string }[] {
  const mounts: { link: string; path: string }[] = []
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ')
    const [link, path] = [fields[3], fields[4]]
    const type = fields[fields.indexOf('-', 6) + 1]
    if (type !== 'nsfs' || link === undefined || path === undefined || !LINK.test(link)) continue
    const bytes = path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    mounts.push({ link, path: Buffer.from(bytes, 'latin1').toString() })
  }
  return mounts
}
