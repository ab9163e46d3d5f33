/** What experience says about errors of the calls that mount; mount_namespaces(7). */
export function mountHint(
  syscall: string | undefined,
  code: string,
  step: string | undefined,
): string | undefined {
  if (syscall === 'fsconfig' && step?.startsWith('cgroup ')) {
    if (code === 'EBUSY')
      return 'a controller is in one hierarchy at a time: another one, with groups in it, or with other controllers beside it, has it'
    if (code === 'EPERM')
      return 'only the initial cgroup namespace can make a hierarchy of version 1'
    if (code === 'EINVAL' || code === 'ENOENT')
      return 'this kernel has no such controller for version 1, or has none of version 1 at all'
  }
  if (code === 'EPERM') {
    if (syscall === 'mount_setattr')
      return 'an attribute that an outer user namespace has set is locked in this one'
    if (syscall === 'fsopen' && step !== undefined && !standard.includes(step))
      return 'a user namespace may mount only some file systems, as tmpfs, overlay and FUSE'
  }
  if (code === 'EINVAL') {
    if (syscall === 'mount_setattr')
      return 'it is no mount point, or its file system can not do that, as map owners'
    if (syscall === 'umount2')
      return 'it is no mount point, or an outer user namespace has locked it'
    if (syscall === 'move_mount' && step?.startsWith('move '))
      return 'it is no mount point, lies on a shared mount, or would go below itself'
    if (syscall === 'fsconfig')
      return 'the file system does not know the option, or not this value; "dmesg" may say more'
  }
  if (code === 'ENODEV' && syscall === 'fsopen')
    return 'this kernel does not know the file system: see /proc/filesystems, or load its module'
  if (
    code === 'EEXIST' &&
    (syscall === 'openat' || syscall === 'symlinkat' || syscall === 'mknodat')
  )
    return 'something is there already, and is not overwritten'
  if (code === 'EBUSY' && syscall === 'umount2')
    return 'somebody uses it, or there are mounts below it: detach takes them along'
  return undefined
}

/** They have hints of their own. */
const standard = ['proc', 'sysfs', 'dev', 'rootfs']
