const FIRST = 'in the first user namespace, and root of a container does not have it there'

/** What `EACCES` means where the OOM score is written. */
export const OOM_SCORE_HINT = `a lower value than it has had needs CAP_SYS_RESOURCE ${FIRST}`

/**
 * Of what fails with a process's attributes, and with kernel parameters: the usual
 * cause.
 */
export function attributeHint(
  syscall: string | undefined,
  code: string,
  step = '',
): string | undefined {
  if (/^(sysctl|kernel parameters)/.test(step)) return sysctlHint(code)
  switch (`${code} ${syscall}`) {
    case 'EPERM prlimit64':
      return `a hard limit can only be raised with CAP_SYS_RESOURCE ${FIRST}; nofile at most to sysctl fs.nr_open`
    case 'EACCES setpriority':
      return `a nice value can only be lowered with CAP_SYS_NICE ${FIRST}, or within RLIMIT_NICE`
    case 'EPERM ioprio_set':
      return `real-time I/O needs CAP_SYS_NICE ${FIRST}`
    case 'EINVAL sched_setaffinity':
      return 'none of these processors is there and in the cpuset of the cgroup'
    case 'EINVAL set_mempolicy':
      return 'this kernel does not have that mode, or none of these nodes is there and in the cpuset of the cgroup'
    case 'ENOSYS set_mempolicy':
      return 'this kernel is built without NUMA'
    case 'EAGAIN execve':
      return 'the user has more processes than RLIMIT_NPROC allows'
  }
  if (code === 'ENOMEM' && step === 'exec')
    return 'RLIMIT_AS or RLIMIT_DATA leaves no room for any program'
  if (step === 'OOM score' && code === 'EACCES') return OOM_SCORE_HINT
  return step === 'scheduler' ? schedulerHint(code) : undefined
}

function schedulerHint(code: string): string | undefined {
  switch (code) {
    case 'EPERM':
      return `real-time policies need CAP_SYS_NICE ${FIRST}, or RLIMIT_RTPRIO; a deadline also an affinity of all processors`
    case 'EINVAL':
      return 'this kernel does not have that policy, or not these parameters of it; sched(7)'
    case 'EBUSY':
      return 'these deadlines could not be kept: sysctl kernel.sched_rt_runtime_us, sched(7)'
  }
  return undefined
}

function sysctlHint(code: string): string | undefined {
  switch (code) {
    case 'ENOENT':
      return 'this kernel has none of that name in a namespace of its own'
    case 'EINVAL':
      return 'it does not take this value'
    case 'EACCES':
    case 'EPERM':
      return 'in a user namespace this kernel lets only root outside change it'
    case 'EXDEV':
    case 'EROFS':
      return 'an outer container has made /proc/sys read-only'
  }
  return undefined
}
