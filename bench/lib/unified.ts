import { spawnSync } from 'node:child_process'
import { statfsSync } from 'node:fs'

const CGROUP2_SUPER_MAGIC = 0x63677270

/**
 * crun refuses a hybrid cgroup hierarchy. Where there is one, the benchmark
 * runs itself again in a mount namespace of its own in which the unified one
 * stands alone; all contenders see the same. Does not return then.
 */
export function runWithUnifiedHierarchy(): void {
  if (process.getuid?.() !== 0 || process.env.COFFERDAM_BENCH_UNIFIED !== undefined) return
  try {
    if (statfsSync('/sys/fs/cgroup').type === CGROUP2_SUPER_MAGIC) return
  } catch {
    return
  }
  const script = 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup; exec "$@"'
  const node = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const { status } = spawnSync(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...node],
    { stdio: 'inherit', env: { ...process.env, COFFERDAM_BENCH_UNIFIED: '1' } },
  )
  process.exit(status ?? 1)
}
