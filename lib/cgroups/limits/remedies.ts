/** What helps where the kernel refuses a limit, by the end of the file's name and the error. */
export const limitRemedies: readonly (readonly [file: RegExp, code: string, remedy: string])[] = [
  [
    /\/memory\.(limit_in_bytes|memsw\.limit_in_bytes)$/,
    'EBUSY',
    'the group uses more than that and the kernel could not take it back: end processes in it first',
  ],
  [
    /\/memory\.(limit_in_bytes|memsw\.limit_in_bytes)$/,
    'EINVAL',
    'the limit of memory is above that of memory and swap together: set both in one call; the topmost group can have none',
  ],
  [
    /\/cpu\.cfs_(quota|period)_us$/,
    'EINVAL',
    'a group above has a lower quota for its period, or the burst is above the quota',
  ],
  [/\/cpu\.max(\.burst)?$/, 'EINVAL', 'the burst is at most the quota: set both in one call'],
  [/\/cpu\.(shares|weight)$/, 'EINVAL', 'an idle group has no weight: set idle: false with it'],
  [
    /\/cpu\.rt_(runtime|period)_us$/,
    'EINVAL',
    'the group above gives no such real-time budget: set its cpu.realtimeRuntime first, from the top down',
  ],
  [
    /\/cpuset\.(cpus|mems)$/,
    'EACCES',
    'the group above does not have these: name some of its own, or give it more first',
  ],
  [
    /\/cpuset\.(cpus|mems)(\.exclusive)?$/,
    'EINVAL',
    'there are no such processors or memory nodes, or a group beside it has them for itself',
  ],
  [/\/cpuset\.(cpus|mems)$/, 'ERANGE', 'there are no such processors or memory nodes'],
  [/\/cpuset\.(cpus|mems)$/, 'EBUSY', 'a group below it uses one that it would lose'],
  [
    /\/cpuset\.(cpus|mems)$/,
    'ENOSPC',
    'there are processes in it, and it would be left without any processor or memory node',
  ],
  [
    /\/(io\.(max|latency|weight|bfq\.weight)|blkio\.throttle\.\w+|blkio\.(bfq\.)?weight_device)$/,
    'ENODEV',
    'there is no such disk; of a partition name the whole disk',
  ],
  [/\/rdma\.max$/, 'EINVAL', 'there is no such RDMA device'],
  [/\/rdma\.max$/, 'ENODEV', 'there is no such RDMA device'],
  [
    /\/misc\.max$/,
    'EINVAL',
    'the kernel has no such resource: misc.capacity of the topmost group lists them',
  ],
  [/\/net_prio\.ifpriomap$/, 'ENODEV', 'there is no such interface in this network namespace'],
]
