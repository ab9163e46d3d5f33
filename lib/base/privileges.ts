import { userInfo } from 'node:os'
import { readPseudoFile } from './procfs.js'

/** What this program may do, as far as it decides how containers are made. */
export interface Privileges {
  /** It has CAP_SYS_ADMIN, and so needs no user namespace to make the others. */
  admin: boolean
  /** It may write maps of any users, CAP_SETUID, and of any groups, CAP_SETGID. */
  setuid: boolean
  setgid: boolean
  /** Groups can be changed in its user namespace, and so in those below it; setgroups(2). */
  groups: boolean
  /** Programs with the set-user-ID bit give it more; prctl(2) PR_SET_NO_NEW_PRIVS. */
  gainable: boolean
  /** Its user namespace is the first one, as far as can be seen. */
  initialUsers: boolean
}

// linux/capability.h
const CAP_SETGID = 6
const CAP_SETUID = 7
const CAP_SYS_ADMIN = 21

let known: Privileges | undefined
let knownFor: number | undefined

/**
 * Looks it up once, and again when the program has changed its user, which is
 * the way to lose privileges that Node has. `CapEff` and `NoNewPrivs` of
 * proc_pid_status(5), user_namespaces(7)
 */
export function privileges(): Privileges {
  const user = process.geteuid?.()
  if (known === undefined || knownFor !== user) {
    known = lookUp(user)
    knownFor = user
  }
  return known
}

function lookUp(user: number | undefined): Privileges {
  const status = readPseudoFile('/proc/self/status') ?? ''
  // Where there is no proc to ask, root is taken for what it usually is.
  const all = user === 0 ? 'ffffffff' : '0'
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? all}`)
  const has = (capability: number) => ((effective >> BigInt(capability)) & 1n) === 1n
  const map = (readPseudoFile('/proc/self/uid_map') ?? '').trim()
  return {
    admin: has(CAP_SYS_ADMIN),
    setuid: has(CAP_SETUID),
    setgid: has(CAP_SETGID),
    groups: (readPseudoFile('/proc/self/setgroups') ?? '').trim() !== 'deny',
    gainable: !/^NoNewPrivs:\s*1$/m.test(status),
    initialUsers: map === '' || /^0\s+0\s+4294967295$/.test(map),
  }
}

/** Of the present user; undefined for one that has no name. getpwuid(3) */
export function userName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
