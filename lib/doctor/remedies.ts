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
  const forbidden = code === 'EPERM' || code === 'EACCES'
  const entering = operation.includes('CLONE_NEWUSER')
  if (forbidden && (entering || nested)) {
    const setting = whatForbidsUserNamespaces()
    if (setting !== undefined) return setting
  }
  if (forbidden && entering)
    return 'user namespaces are forbidden: in a chroot (use pivot_root), or by a security module'
  if (operation.includes('CLONE_NEW') && code === 'EINVAL')
    return 'this kernel is built without this kind of namespace'
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
