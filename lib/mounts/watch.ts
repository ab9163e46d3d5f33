import { type MountInfo, onlyKeys, signalOption } from '../base/index.js'
import { Changes } from '../run/index.js'
import { differences, type MountChange } from './differences.js'
import { type MountsOf, openTableOf, readTable } from './mount-table.js'

/** Options of {@link watch}. */
export interface WatchOptions {
  /**
   * Whose mounts: a process, by its number; or a table, by its descriptor, which is
   * the watch's from then on. Default: this program.
   */
  process?: MountsOf
  /** Ends it. */
  signal?: AbortSignal
}

/**
 * Tells of each change of a process's table of mounts, from the call on: one by
 * one, in the order of {@link differences}. What happens between two readings
 * comes to what is different then; a mount that came and went in between is not
 * told of. poll(2) on `/proc/PID/mountinfo`, proc_pid_mounts(5).
 * Equivalent to: `findmnt --poll --task PID`
 *
 * ```ts
 * for await (const { type, mount } of mounts.watch()) console.log(type, mount.mountPoint)
 * ```
 *
 * The kernel announces mounts, unmounts, moves, and changes by mount_setattr(2) and by
 * MS_REMOUNT of mount(2). It does not announce (Linux 6.18) what mount(2) changes of
 * propagation, and fsconfig(2) of a file system: that is told of with the next thing
 * that it does.
 *
 * The mount namespace lives on while it is watched, also when the process has
 * ended. Who waits for a change keeps this program alive, and nothing else of it.
 *
 * @throws CofferdamError as {@link list} does, at once.
 */
export function watch(options: WatchOptions = {}): MountWatch {
  onlyKeys('watch', options, ['process', 'signal'])
  const { process = 'self' } = options
  const signal = signalOption('watch.signal', options.signal)
  using table = openTableOf(process)
  return new MountWatch(table.fd, signal)
}

/** An iterator of changes, of {@link watch}. It ends without an error when it is closed. */
export class MountWatch extends Changes<MountChange> {
  readonly #fd: number
  #mounts: MountInfo[] = []

  /** @internal */
  constructor(table: number, signal: AbortSignal | undefined) {
    super(signal)
    ;[, this.#fd] = this.watch(table)
    try {
      // Nothing is missed: of what happens from now on the kernel will tell.
      this.#mounts = readTable(this.#fd)
    } catch (error) {
      this.close()
      throw error
    }
    this.begin()
  }

  /** The table as it was at the last reading. */
  get mounts(): readonly MountInfo[] {
    return this.#mounts
  }

  protected look(): readonly MountChange[] {
    const mounts = readTable(this.#fd)
    const changes = differences(this.#mounts, mounts)
    this.#mounts = mounts
    return changes
  }
}
