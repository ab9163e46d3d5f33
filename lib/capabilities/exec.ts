import {
  CofferdamError,
  flagOption,
  idOption,
  invalidOption,
  objectOption,
  onlyKeys,
  show,
} from '../base/index.js'
import type { FileCapabilities } from './file-format.js'
import { allCapabilities } from './kernel.js'
import { fromBits, toBits } from './names.js'
import type { ProcessCapabilities, ProcessIds } from './process.js'
import { securebitsFromBits, securebitsToBits } from './securebits.js'

/** A program that is executed, as far as it decides over privileges. */
export interface ExecutedFile {
  /** As {@link fileCapabilities} gives them. */
  capabilities?: FileCapabilities | undefined
  /** Its owner, when it has the set-user-ID bit. */
  setuid?: number
  /** Its group, when it has the set-group-ID bit and its group may execute it. */
  setgid?: number
  /** It is on a mount with `nosuid`, or one of a user namespace that is none of the thread's. */
  nosuid?: boolean
  /**
   * Who root is: of the thread's user namespace, and of those above it, as the ids
   * given here are meant. Default: `[0]`.
   */
  roots?: readonly number[]
}

/** What a thread is once it has executed a program. */
export interface ExecutedCapabilities extends ProcessCapabilities {
  /**
   * The program is told to trust its environment less, and the dynamic linker does;
   * getauxval(3) AT_SECURE.
   */
  secure: boolean
}

const within = (a: bigint, b: bigint) => (a & ~b) === 0n

/**
 * What an execve(2) makes of a thread: capabilities(7), "Transformation of
 * capabilities during execve()" and what follows there about root, about
 * set-user-ID programs and about no_new_privs. For a thread that nobody traces and
 * that shares its working directory with no other process.
 *
 * ```ts
 * afterExec(processCapabilities(), { capabilities: fileCapabilities('/usr/bin/ping') })
 * ```
 *
 * Where real and effective id differ beforehand, or a set-group-ID program gives a
 * group that the thread has anyway, it is as of Linux 6.16; earlier kernels took this
 * for a change of ids, and cleared the ambient set.
 *
 * @throws CofferdamError `EPERM`, as execve(2) fails with, when the file's
 * capabilities are to be in effect and the bounding set withholds one of them;
 * `ERR_INVALID_OPTION` for what can't be.
 */
export function afterExec(
  state: Omit<ProcessCapabilities, 'securebits'> & Partial<Pick<ProcessCapabilities, 'securebits'>>,
  file: ExecutedFile = {},
): ExecutedCapabilities {
  objectOption('state', state)
  checkState(state)
  checkFile(file)
  const roots = file.roots ?? [0]
  const root = roots[0]
  const nosuid = file.nosuid ?? false
  const old = {
    permitted: toBits('state.permitted', state.permitted),
    inheritable: toBits('state.inheritable', state.inheritable),
    ambient: toBits('state.ambient', state.ambient),
    bounding: toBits('state.bounding', state.bounding),
  }
  const securebits = securebitsToBits('state.securebits', state.securebits ?? [])

  // The ids that the file sets; not where it gains nothing.
  const sets = !nosuid && !state.noNewPrivileges
  let uid = (sets ? file.setuid : undefined) ?? state.uid.effective
  let gid = (sets ? file.setgid : undefined) ?? state.gid.effective

  // What the file has, if it is for this user namespace.
  const has = nosuid ? undefined : capabilitiesFor(file.capabilities, roots)
  let { permitted, effective } = has === undefined ? NOTHING : ofFile(has, old)

  // Root gets all that there is, unless the file says otherwise to somebody who is
  // root only by it.
  const isRoot = { real: state.uid.real === root, effective: uid === root }
  const legacy = has !== undefined && isRoot.effective && !isRoot.real
  if ((securebits & NOROOT) === 0 && !legacy) {
    if (isRoot.real || isRoot.effective) permitted = old.bounding | old.inheritable
    if (isRoot.effective) effective = true
  }

  // Whoever is to gain nothing does not.
  const groups = [state.gid.filesystem, ...state.groups]
  const changed = uid !== state.uid.effective || !groups.includes(gid)
  if (state.noNewPrivileges && (changed || !within(permitted, old.permitted))) {
    uid = state.uid.real
    gid = state.gid.real
    permitted &= old.permitted
  }

  const ambient = has !== undefined || changed ? 0n : old.ambient
  permitted |= ambient
  const secure =
    changed ||
    uid !== state.uid.real ||
    gid !== state.gid.real ||
    (!isRoot.real && (effective || !within(permitted, ambient)))
  return {
    permitted: fromBits(permitted),
    effective: fromBits(effective ? permitted : ambient),
    inheritable: fromBits(old.inheritable),
    ambient: fromBits(ambient),
    bounding: fromBits(old.bounding),
    securebits:
      state.securebits === undefined ? undefined : securebitsFromBits(securebits & ~KEEP_CAPS),
    noNewPrivileges: state.noNewPrivileges,
    uid: executed(state.uid, uid),
    gid: executed(state.gid, gid),
    groups: [...state.groups],
    secure,
  }
}

/** The sets and securebits are looked at where they are used. */
function checkState({ uid, gid, groups, noNewPrivileges }: Parameters<typeof afterExec>[0]): void {
  for (const [name, ids] of Object.entries({ uid, gid })) {
    objectOption(`state.${name}`, ids)
    for (const kind of ['real', 'effective', 'saved', 'filesystem'] as const)
      idOption(`state.${name}.${kind}`, ids[kind])
  }
  idsOption('state.groups', groups)
  flagOption('state.noNewPrivileges', noNewPrivileges, false)
}

function checkFile(file: ExecutedFile): void {
  onlyKeys('file', file, ['capabilities', 'setuid', 'setgid', 'nosuid', 'roots'])
  for (const name of ['setuid', 'setgid'] as const)
    if (file[name] !== undefined) idOption(`file.${name}`, file[name])
  flagOption('file.nosuid', file.nosuid, false)
  if (file.roots !== undefined && idsOption('file.roots', file.roots).length === 0)
    throw invalidOption('file.roots', 'names nobody')
  const { capabilities } = file
  if (capabilities === undefined) return
  const name = 'file.capabilities'
  onlyKeys(name, capabilities, ['permitted', 'inheritable', 'effective', 'rootId'])
  flagOption(`${name}.effective`, capabilities.effective, false)
  if (capabilities.rootId !== undefined) idOption(`${name}.rootId`, capabilities.rootId)
}

function idsOption(option: string, ids: unknown): number[] {
  if (!Array.isArray(ids)) throw invalidOption(option, `${show(ids)} is no list`)
  return ids.map(id => idOption(option, id))
}

const NOROOT = securebitsToBits('noroot', ['noroot'])
const KEEP_CAPS = securebitsToBits('keep_caps', ['keep_caps'])
const NOTHING = { permitted: 0n, effective: false }

function executed({ real }: ProcessIds, effective: number): ProcessIds {
  return { real, effective, saved: effective, filesystem: effective }
}

/** Undefined when there are none, or they are for another user namespace. */
function capabilitiesFor(
  capabilities: FileCapabilities | undefined,
  roots: readonly number[],
): FileCapabilities | undefined {
  const rootId = capabilities?.rootId
  return rootId === undefined || roots.includes(rootId) ? capabilities : undefined
}

/** What a file's capabilities give: permitted as far as they may, inheritable if they are. */
function ofFile(
  file: FileCapabilities,
  { bounding, inheritable }: { bounding: bigint; inheritable: bigint },
): { permitted: bigint; effective: boolean } {
  const valid = allCapabilities()
  const forced = toBits('file.capabilities.permitted', file.permitted) & valid
  const shared = toBits('file.capabilities.inheritable', file.inheritable) & valid
  const permitted = (bounding & forced) | (inheritable & shared)
  // Such a program would not notice that it lacks something.
  if (file.effective && !within(forced, permitted))
    throw new CofferdamError(
      `execve: EPERM: the file is to have ${fromBits(forced & ~permitted).join(', ')}, which the bounding set withholds`,
      { code: 'EPERM', syscall: 'execve' },
    )
  return { permitted, effective: file.effective }
}
