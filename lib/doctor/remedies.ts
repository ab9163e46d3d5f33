import { firstLine, statusField } from './proc.js'
import type { CheckError } from './report.js'

/** What usually helps against an error, by what this machine's settings say. */
export function remedyFor(error: CheckError, nested: boolean): string | undefined {
  const { code, syscall, operation = '', path = '' } = error
  if (code === 'EROFS') return `${path} is read-only here: an outer container’s doing`
  if (code === 'ENOENT' && /^\/proc\/(self|\d+)\//.test(path))
    return 'no proc is mounted at /proc: mount -t proc proc /proc'
  if (syscall === 'unshare' && code === 'ENOSPC')
    return 'a limit in /proc/sys/user, as max_user_namespaces, is reached: raise it with sysctl'
  if (operation.includes('CLONE_NEWUSER') || (nested && (code === 'EPERM' || code === 'EACCES'))) {
    const forbidden = whatForbidsUserNamespaces()
    if (forbidden !== undefined) return forbidden
  }
  if (operation.includes('CLONE_NEW') && code === 'EINVAL')
    return 'this kernel is built without this kind of namespace'
  if (code === 'ENOSYS') return 'this kernel does not have it, or an outer container hides it'
  if (code === 'ETIMEDOUT') return 'the machine is very busy, or the kernel hangs: see dmesg'
  return undefined
}

/** The settings that can, with the one that does first. Explanation only: what counts was tried. */
function whatForbidsUserNamespaces(): string | undefined {
  if (firstLine('/proc/sys/kernel/unprivileged_userns_clone') === '0')
    return 'sysctl -w kernel.unprivileged_userns_clone=1'
  if (firstLine('/proc/sys/user/max_user_namespaces') === '0')
    return 'sysctl -w user.max_user_namespaces=10000'
  if (firstLine('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1')
    return 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that has "userns,"'
  if (statusField('Seccomp') === '2')
    return 'a seccomp filter is on this program, an outer container’s perhaps: relax it there'
  return undefined
}
