import { type CofferdamError, flagOption, idOption, onlyKeys, textOption } from '../base/index.js'
import { type SignalName, signalNumber } from '../run/index.js'
import { freezeGroup, isFrozen, killGroup, thawGroup } from './control.js'
import { delegateGroup } from './delegate.js'
import type { DeviceRule } from './device-rules.js'
import { devicesOption, readDevices, setDevices } from './devices.js'
import { GroupEvents, type GroupEventsOptions } from './events/events.js'
import type { GroupFolder, GroupFolders } from './folders.js'
import { type Limits, parseLimits, readLimits, setLimits, type ToldLimits } from './limits/index.js'
import {
  type CgroupOptions,
  type DeleteOptions,
  find,
  type ManagedGroup,
  make,
  type OpenOptions,
} from './options.js'
import { readGroupFile, writeGroupFile } from './raw-files.js'
import { MOST_TIME, removeGroup } from './remove.js'
import {
  type Pressure,
  pressureOf,
  readStatsOf,
  type Stats,
  type StatsOptions,
  statsParts,
} from './stats/stats.js'
import {
  attachProcess,
  homeOf,
  type ManagerName,
  setUnit,
  stopUnit,
  type Unit,
} from './systemd/index.js'
import { addProcess, addTask, processesOf, threadsOf } from './tasks.js'
import { childrenOf, descendantsOf, mustBeThere } from './tree.js'
import { deadlineOf, type WaitOptions } from './waiting.js'

/**
 * A control group: processes that are counted, limited and stopped together. It is a folder in
 * each hierarchy that has something to say of it: those of version 1, one for a controller or
 * several, and that of version 2, which is there also on hosts whose controllers are version 1's.
 * The object holds nothing open; any number of programs may use one group. cgroups(7)
 */
export class Cgroup implements GroupFolders, AsyncDisposable {
  readonly path: string
  readonly folders: readonly GroupFolder[]
  /** Of a group that systemd has made: as `cofferdam-demo.scope`. */
  readonly unit: string | undefined
  readonly #unit: Unit | undefined
  /** Its folders that have processes: all but a scope's, which is above and only limits them. */
  readonly #home: GroupFolders

  private constructor(group: ManagedGroup) {
    this.path = group.path
    this.folders = group.folders
    this.#unit = group.unit
    this.unit = group.unit?.name
    this.#home = group.unit === undefined ? this : homeOf(group)
  }

  /** Who has made it. */
  get manager(): ManagerName {
    return this.#unit === undefined ? 'cgroupfs' : 'systemd'
  }

  /**
   * Makes a group, in all its hierarchies, or nothing. Groups above that are missing are made
   * too, and removed with the last one below them.
   * Equivalent to: `mkdir -p /sys/fs/cgroup/PATH; echo +memory … > …/cgroup.subtree_control`
   *
   * By systemd it is a transient unit that is delegated to this program: `demo` is
   * `cofferdam-demo.scope`, `web/demo` is `cofferdam-web-demo.scope` in `cofferdam-web.slice`, and
   * names with `.scope` and `.slice` are taken as they are. In a scope a process of a few dozen
   * kilobytes keeps it while it is empty, in a group of its own beside `container`, which is the
   * group that is given. It counts for `TasksMax`, which is one more for that.
   * Equivalent to: `systemd-run --scope -p Delegate=yes -p MemoryMax=… sleep infinity`
   *
   * @param path Absolute below the hierarchies' mounts, or relative to `/cofferdam`, or, for who may
   * not write there, to this program's own group; by systemd a name.
   * @throws CofferdamError `EEXIST` when it is there; `ERR_UNSUPPORTED` for a controller, or a
   * manager, that is not; `EACCES`, `EPERM`, `EROFS` for who may not; `EBUSY` when a group above has
   * processes and so can't hand on controllers; `ERR_SYSTEMD` for what systemd finds otherwise.
   */
  static async create(path: string, options: CgroupOptions = {}): Promise<Cgroup> {
    return new Cgroup(await make(path, options))
  }

  /**
   * A group that is there, in whichever hierarchies it is; `'/'` is the topmost. Groups of systemd's
   * are found by the name that they were made by, and by their `path`.
   *
   * @throws CofferdamError `ENOENT` when it is in none.
   */
  static async open(path: string, options: OpenOptions = {}): Promise<Cgroup> {
    return new Cgroup(await find(path, options))
  }

  /**
   * Changes what it may use, it and all below it together, also while processes run in it. What is
   * not named stays; `'max'` takes a limit away. All of it or nothing: if the kernel refuses one,
   * those before it are set back. Equivalent to: `docker update`
   *
   * @throws CofferdamError `ERR_INVALID_OPTION`, `ERR_CONFLICT` and `ERR_UNSUPPORTED`, naming the
   * option, before anything is written; otherwise the kernel's error, with controller, file and
   * remedy: `EBUSY` for a limit below the memory in use on version 1, where version 2 kills unless
   * `checkBeforeUpdate` is set.
   */
  async set(limits: Limits): Promise<void> {
    const checked = parseLimits('limits', limits)
    if (this.#unit === undefined) await setLimits(this, checked)
    else await setUnit(this.#unit, this, checked)
  }

  /**
   * Its limits, as the kernel has them; those of groups above it may be lower. Short forms are
   * written out, as `{ memory: { max } }`, sizes in bytes and times in microseconds, and no limit
   * is `'max'`. What the version or the kernel does not have is left out, `raw` always.
   */
  async limits(): Promise<ToldLimits> {
    return await readLimits(this)
  }

  /** The processes in it, and not in groups below; in ascending order. `cgroup.procs` */
  async processes(): Promise<number[]> {
    return processesOf(this.#home)
  }

  /** The threads in it. `cgroup.threads`; `tasks` of version 1 */
  async threads(): Promise<number[]> {
    return threadsOf(this.#home)
  }

  /**
   * Puts a process into it, with all its threads; in all hierarchies or in none. Its children
   * to come will be in it too. For a process of another program the kernel takes some ten
   * milliseconds. Equivalent to: `echo PID > cgroup.procs`
   *
   * @throws CofferdamError `ESRCH` when there is no such process; `EBUSY` when the group hands on
   * controllers of version 2; `EACCES` for who may not write in both groups and all between
   * them, unless the user's systemd, which may, does it for groups of its own.
   */
  async add(pid: number): Promise<void> {
    try {
      await addProcess(this.#home, pid)
    } catch (error) {
      if ((error as CofferdamError).code !== 'EACCES') throw error
      if (!(await attachProcess(this, pid))) throw error
    }
  }

  /**
   * Puts a single thread into it. Version 1 permits it everywhere, version 2 in groups of threads
   * ({@link CgroupOptions.threaded}) of the same domain; beside version 1 its folder of version 2
   * is left out if it is no such group. Equivalent to: `echo TID > cgroup.threads`
   *
   * @throws CofferdamError `EOPNOTSUPP` when it is no group of threads of that process.
   */
  async addThread(tid: number): Promise<void> {
    await addTask(this.#home, tid)
  }

  /**
   * The groups right below it, by name.
   *
   * @throws CofferdamError `ENOENT` when it has been removed.
   */
  async children(): Promise<Cgroup[]> {
    mustBeThere(this.#home)
    return (await childrenOf(this.#home)).map(each => new Cgroup(each))
  }

  /** All groups below it, each before those below it. As for {@link children}. */
  async *walk(): AsyncIterableIterator<Cgroup> {
    mustBeThere(this.#home)
    for (const each of await descendantsOf(this.#home)) yield new Cgroup(each)
  }

  /**
   * Stops all processes in it and below, and resolves when the kernel has done so: `cgroup.freeze`
   * and the event in `cgroup.events`; of version 1 alone `freezer.state`, which is looked at again
   * and again, with pauses from 1 to 100 ms, since it tells nobody. What can't be stopped in time is
   * let go on.
   *
   * @throws CofferdamError `ETIMEDOUT`; `ERR_UNSUPPORTED` where there is neither; `ERR_CONFLICT`
   * when this program is in it.
   */
  async freeze(options: WaitOptions = {}): Promise<void> {
    onlyKeys('freeze', options, ['timeout', 'signal'])
    await freezeGroup(this.#home, deadlineOf('freeze', options))
  }

  /** Lets them go on, and resolves when they do. */
  async thaw(options: WaitOptions = {}): Promise<void> {
    onlyKeys('thaw', options, ['timeout', 'signal'])
    await thawGroup(this.#home, deadlineOf('thaw', options))
  }

  /**
   * Whether all its processes are stopped, by itself or by a group above.
   *
   * @throws CofferdamError `ENOENT` when it has been removed; `ERR_UNSUPPORTED` as {@link freeze}.
   */
  async frozen(): Promise<boolean> {
    return isFrozen(this.#home)
  }

  /**
   * Sends a signal to all processes in it and below, those that are made meanwhile included: by
   * `cgroup.kill` (Linux 5.14), or, for other signals than SIGKILL, by stopping them first.
   * It does not wait for their end.
   *
   * @throws CofferdamError `ERR_CONFLICT` when this program is in it, or it is the topmost group.
   */
  async kill(signal: SignalName | number = 'SIGKILL'): Promise<void> {
    await killGroup(this.#home, signalNumber(signal))
  }

  /**
   * What it has used, and those below it. Files are read on another thread; for many groups at
   * once see {@link statsOf}, again and again {@link StatsReader}.
   *
   * @throws CofferdamError `ENOENT` when it has been removed.
   */
  async stats(options: StatsOptions = {}): Promise<Stats> {
    return await readStatsOf(this, statsParts('stats', options))
  }

  /**
   * How its processes have had to wait for processors, memory and disks: Pressure Stall
   * Information. Equivalent to: `cat cpu.pressure memory.pressure io.pressure`
   *
   * @throws CofferdamError `ERR_UNSUPPORTED` where the kernel counts none, or the group is in no
   * hierarchy of version 2; `ENOENT` when it has been removed.
   */
  async pressure(): Promise<Pressure> {
    return await pressureOf(this)
  }

  /**
   * What happens to it from now on, one by one: memory that runs out, processes that are refused,
   * that the first has come or the last has gone, and so on; see {@link GroupEvent}. It ends when
   * the group is removed. Who waits for an event keeps this program alive, and nothing else of it.
   *
   * ```ts
   * for await (const event of group.events()) console.log(event.type)
   * ```
   *
   * The kernel tells of changes of `cgroup.events`, `memory.events`, `memory.swap.events`,
   * `pids.events`, `hugetlb.*.events` and pressure of version 2 (poll(2) with POLLPRI), and writes
   * what it has to say of version 1's memory to eventfds. It tells nobody of `pids.events` of version
   * 1 and, where there is version 1 alone, of processes that come and go and of its freezer: these
   * are looked at, while somebody waits, after pauses that double from 10 ms to a second. States that
   * came and went between two looks are not told of; counts are, each once.
   *
   * @throws CofferdamError `ENOENT` when it has been removed; `ERR_UNSUPPORTED` for pressure
   * where the kernel counts none; `EINVAL` for windows of a trigger that it does not take;
   * `EACCES` for who may not.
   */
  events(options: GroupEventsOptions = {}): GroupEvents {
    return new GroupEvents(this, options)
  }

  /**
   * Hands it on to a user, who may then move own processes within it, make groups below, and
   * hand on its controllers, but not change its own limits: its folders, and of version 2 the
   * files of `/sys/kernel/cgroup/delegate`. Who has it on version 1 may set limits
   * further down only. cgroups(7), "Cgroups delegation". Equivalent to: `chown UID:GID …`
   *
   * @throws CofferdamError `EPERM` for who may not give it away.
   */
  async delegate(uid: number, gid: number): Promise<void> {
    await delegateGroup(this.#home, idOption('delegate.uid', uid), idOption('delegate.gid', gid))
  }

  /**
   * Says which devices its processes, and those of groups below, may make and use, in addition
   * to what groups above say. What they have open already is theirs.
   * Rules are in order: the last one that is about a device and a kind of access decides, and
   * what none is about is refused, `EPERM`. `['a']` allows all.
   *
   * Version 1: `devices.allow` and `devices.deny`. Version 2: a program that is made of the rules
   * and attached to the group besides what others have attached, for which the one before
   * it is exchanged at once; bpf(2). On hosts that have both, whichever can.
   *
   * @param rules As the OCI has them, or as version 1 writes those that allow: `'c 1:3 rwm'`.
   * @throws CofferdamError `ERR_INVALID_OPTION`; `EPERM` for who may not: version 2 wants
   * CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, of the first user namespace, and a group of version 1
   * allows no more than the one above; `ERR_UNSUPPORTED` where there is version 1 alone, for what
   * it can't say.
   *
   * Equivalent to: `docker run --device-cgroup-rule 'c 1:3 rwm'`
   */
  async setDevices(rules: readonly (DeviceRule | string)[]): Promise<void> {
    await setDevices(this, devicesOption('devices', rules))
  }

  /**
   * The rules that it keeps to itself, apart from those of groups above: the normal form
   * of what was set ({@link normalDeviceRules}). Of exceptions from all being allowed, which version
   * 1 alone does not show, nothing is known.
   */
  async devices(): Promise<DeviceRule[]> {
    return readDevices(this)
  }

  /** What a file of it says, as `read('memory.max')`, for what has no method. */
  async read(file: string): Promise<string> {
    return readGroupFile(this, textOption('file', file))
  }

  /** Writes a file of it: `write('memory.zswap.max', '0')`. */
  async write(file: string, value: string): Promise<void> {
    await writeGroupFile(this, textOption('file', file), value)
  }

  /**
   * Removes it with all below it; the processes in it are ended first, and waited for: by the event
   * in `cgroup.events`, or, where there is version 1 alone, by descriptors of the processes.
   *
   * @throws CofferdamError `EBUSY` with `kill: false` when it has processes; `ETIMEDOUT`, which names
   * those that are still in it; `ERR_CONFLICT` when this program is in it.
   */
  async delete(options?: DeleteOptions): Promise<void> {
    if (options === undefined) await removeGroup(this.#home, true)
    else {
      onlyKeys('delete', options, ['kill', 'timeout', 'signal'])
      const kill = flagOption('delete.kill', options.kill, true)
      await removeGroup(this.#home, kill, deadlineOf('delete', options, MOST_TIME))
    }
    if (this.#unit !== undefined) await stopUnit(this.#unit)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete()
  }
}
