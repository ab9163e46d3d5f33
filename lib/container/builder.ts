import { randomBytes } from 'node:crypto'
import {
  flagOption,
  hostPathOption,
  invalidOption,
  onlyKeys,
  plainCopy,
  show,
  signalOption,
  textOption,
  wordOption,
} from '../base/index.js'
import type { CapabilitySet } from '../capabilities/index.js'
import { type DeviceRule, devicesOption, type Limits, parseLimits } from '../cgroups/index.js'
import {
  checkMount,
  checkRoot,
  type EmptyRoot,
  type Mount,
  type Origin,
  type OverlayRoot,
  type Root,
} from '../mounts/index.js'
import {
  checkIdMappings,
  checkReference,
  checkTimeOffsets,
  HOSTNAME_MAX,
  type IdMappings,
  kinds,
  type NamespaceKind,
  type NamespaceReferences,
  type TimeOffsets,
} from '../namespaces/index.js'
import type { Step } from '../plan/index.js'
import { type ProcessOptions, parseSysctls, processOptions } from '../process/index.js'
import { copyCapabilities } from './capabilities.js'
import {
  checkPlacedStep,
  joined,
  originOption,
  type RootfsOptions,
  rootOptions,
  targets,
} from './check.js'
import type {
  CapabilityChange,
  CapabilityOptions,
  Configuration,
  Isolation,
  Lifetime,
  StepPlacement,
} from './configuration.js'
import { Box } from './container.js'
import { type GroupOptions, groupOptions } from './group.js'
import { addHooks, type Hooks } from './hooks.js'
import { explain, forget, type Prepared, prepare, specify } from './prepare.js'
import { defaultStateFolder } from './state.js'
import { withUserNamespace } from './user-namespace.js'

const ID_LENGTH = 12
let randomDigits = ''

/** Random hexadecimal digits, fetched for many ids at once. */
function randomId(): string {
  if (randomDigits === '') randomDigits = randomBytes(ID_LENGTH * 32).toString('hex')
  const id = randomDigits.slice(0, ID_LENGTH)
  randomDigits = randomDigits.slice(ID_LENGTH)
  return id
}

function checkId(id: string): string {
  if (typeof id !== 'string' || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/.test(id))
    throw invalidOption('id', `${show(id)} is none: letters, digits, _ . - are`)
  return id
}

const lifetimes: readonly Lifetime[] = ['attached', 'detached', 'released']

/** Where containers are looked for. */
export interface StateOptions {
  /** As {@link CreateOptions.stateFolder}. */
  stateFolder?: string
}

function stateRoot(what: string, options: StateOptions): string {
  if (what !== 'create') onlyKeys(what, options, ['stateFolder'])
  const { stateFolder } = options
  return stateFolder === undefined
    ? defaultStateFolder()
    : hostPathOption(`${what}.stateFolder`, stateFolder)
}

/** How a container lives; see {@link Container.create}. */
export interface CreateOptions {
  /** How long it lives; default: `'attached'`. */
  lifetime?: Lifetime
  /**
   * Folder of the facts that other programs find it by. Default:
   * `/run/cofferdam`, or `$XDG_RUNTIME_DIR/cofferdam` for an ordinary user.
   */
  stateFolder?: string
  /** Gives up: what has been made is taken back, and `create()` rejects. */
  signal?: AbortSignal
}

/** What {@link Container.isolate} takes: kinds, or kinds with a namespace to join. */
export type IsolationOption = NamespaceKind | NamespaceReferences

/**
 * Describes a container, and makes it: each method adds to the description and
 * returns the builder. Nothing touches the system before {@link create}. One
 * description can make any number of containers if it names none.
 *
 * Left alone, a container has new mount, PID, UTS, IPC, network and cgroup
 * namespaces, Docker's default capabilities, masked and read-only paths, and
 * no way to gain privileges.
 */
export class Container {
  readonly #configuration: Configuration
  /** What has been prepared of this very description, until it is changed. */
  #ready: { configuration: Configuration; prepared: Prepared } | undefined

  /**
   * @param id Names the container: 1 to 64 letters, digits, `_`, `.` and `-`,
   * the first a letter or digit. Default: 12 random hexadecimal digits, new for
   * each container made.
   */
  constructor(id?: string) {
    if (id !== undefined) checkId(id)
    this.#configuration = {
      id,
      lifetime: 'attached',
      rootfs: undefined,
      rootChange: 'pivot',
      rootPropagation: [],
      rootNodev: undefined,
      isolation: undefined,
      idMappings: undefined,
      timeOffsets: undefined,
      hostname: undefined,
      domainname: undefined,
      sysctls: undefined,
      mounts: [],
      capabilities: undefined,
      maskedPaths: undefined,
      readonlyPaths: undefined,
      noNewPrivileges: true,
      process: undefined,
      proc: 'new',
      sysfs: 'new',
      steps: [],
      hooks: undefined,
      limits: undefined,
      limitsOptional: false,
      devices: undefined,
      group: undefined,
      bundle: undefined,
      annotations: undefined,
    }
  }

  /**
   * The root file system: a directory of the host, an `overlay()`, or an `emptyRoot()`,
   * to be filled by `mount()`. Without one the container sees the
   * host's files.
   */
  rootfs(root: string | OverlayRoot | EmptyRoot, options: RootfsOptions = {}): this {
    onlyKeys('rootfs', options, ['readonly', 'nodev', 'change', 'propagation'])
    const { readonly, nodev, change, propagation } = rootOptions(options)
    const rootfs: Root =
      typeof root === 'string'
        ? { type: 'directory', path: hostPathOption('rootfs', root), readonly }
        : { ...checkRoot(root), ...(readonly ? { readonly } : {}) }
    Object.assign(this.#change(), {
      rootfs,
      rootChange: change,
      rootPropagation: propagation,
      rootNodev: nodev,
    })
    return this
  }

  /**
   * Which namespaces the container does not share with the host: a new one of
   * each kind named, or an existing one: by its path, as that of a process or one
   * that is pinned, by a process that is in it, `{ pid }` or `{ pidfd }`, or by a
   * descriptor, `{ fd }`, which must be open when `create()` is called. Replaces the
   * default. `namespaces.namespacesOf()` names all those of a process; there is nothing to
   * be joined where it is in the same as this program.
   *
   * ```ts
   * builder.isolate('mount', 'pid', { network: '/run/netns/blue', ipc: { pid: 7 } })
   * builder.isolate('mount', namespaces.namespacesOf({ pid: 7 }, ['network', 'uts']))
   * ```
   */
  isolate(...options: IsolationOption[]): this {
    const isolation: Partial<Record<NamespaceKind, Isolation>> = {
      ...this.#configuration.isolation,
    }
    for (const option of options) {
      const named = typeof option === 'string' ? { [option]: 'new' as const } : joined(option)
      for (const [kind, how] of Object.entries(named)) {
        if (!Object.hasOwn(kinds, kind))
          throw invalidOption(
            'isolate',
            `there is no namespace ${JSON.stringify(kind)}; there are ${Object.keys(kinds).join(', ')}`,
          )
        if (typeof option !== 'string' && typeof how === 'string' && !how.startsWith('/'))
          throw invalidOption(`isolate.${kind}`, 'must be the absolute path of a namespace')
        isolation[kind as NamespaceKind] =
          typeof option === 'string' ? 'new' : { join: checkReference(`isolate.${kind}`, how) }
      }
    }
    this.#change().isolation = isolation
    return this
  }

  /**
   * Which users and groups a new user namespace has, and which they are outside;
   * adds `'user'` to what is isolated. Root must be among them.
   * user_namespaces(7). Equivalent to: `docker … --userns-remap`
   *
   * ```ts
   * const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
   * builder.idMappings({ uid: ids, gid: ids })
   * ```
   */
  idMappings(mappings: IdMappings): this {
    this.#change().idMappings = checkIdMappings('idMappings', mappings, true)
    return this
  }

  /**
   * By how much its clocks are ahead of the machine's, or behind; adds `'time'` to
   * what is isolated. CLOCK_REALTIME, the time of day, is everybody's.
   * time_namespaces(7); `ERANGE` when a clock would show less than nothing.
   * Equivalent to: `unshare --time --boottime …`
   *
   * ```ts
   * builder.timeOffsets({ monotonic: '1d', boottime: { seconds: 3600 } })
   * ```
   */
  timeOffsets(offsets: TimeOffsets): this {
    this.#change().timeOffsets = checkTimeOffsets('timeOffsets', offsets)
    return this
  }

  /** Its host name, 1 to 64 bytes. Default: the container's id. sethostname(2) */
  hostname(name: string): this {
    if (Buffer.byteLength(textOption('hostname', name)) > HOSTNAME_MAX)
      throw invalidOption('hostname', `must have 1 to ${HOSTNAME_MAX} bytes`)
    this.#change().hostname = name
    return this
  }

  /**
   * Its NIS domain name, 1 to 64 bytes, which has nothing to do with DNS. Default:
   * the host's. setdomainname(2). Equivalent to: `docker run --domainname`
   */
  domainname(name: string): this {
    if (Buffer.byteLength(textOption('domainname', name)) > HOSTNAME_MAX)
      throw invalidOption('domainname', `must have 1 to ${HOSTNAME_MAX} bytes`)
    this.#change().domainname = name
    return this
  }

  /**
   * Kernel parameters of the container's own namespaces, by the names that
   * sysctl(8) takes: `net.*` of its network, `fs.mqueue.*`, `kernel.msg*`,
   * `kernel.sem` and `kernel.shm*` of its IPC namespace, `kernel.domainname`, and
   * `user.*` of a new user namespace. Adds to what was said before. What concerns
   * the whole machine is refused, and so is what would change a namespace that this
   * program is in itself. proc_sys(5). Equivalent to: `docker run --sysctl`
   *
   * ```ts
   * builder.sysctls({ 'net.ipv4.ip_forward': 1, 'kernel.msgmax': 65536 })
   * ```
   */
  sysctls(sysctls: Readonly<Record<string, string | number>>): this {
    const added = parseSysctls('sysctls', sysctls)
    const before = this.#configuration.sysctls ?? []
    const kept = before.filter(({ path }) => added.every(other => other.path !== path))
    this.#change().sysctls = [...kept, ...added]
    return this
  }

  /**
   * Adds mounts, made by `bind()`, `tmpfs()` and what else `cofferdam/mounts` has; and
   * files, directories, links and devices; and changes to what was mounted before. They
   * are made in this order.
   */
  mount(...mounts: Mount[]): this {
    const checked = mounts.map(checkMount)
    this.#change().mounts.push(...checked)
    return this
  }

  /**
   * The capabilities that programs in it have. A list, or `'all'`, stands for the
   * bounding, effective and permitted sets, of which an ordinary user only has the
   * bounding one; `add` and `drop` change the default, which is Docker's; all other
   * options are the sets themselves. Replaces what was said before. capabilities(7)
   *
   * ```ts
   * builder.capabilities(['NET_BIND_SERVICE'])
   * builder.capabilities({ drop: ['ALL'], add: ['CHOWN'] }) // as docker run has it
   * builder.capabilities({ add: ['SYS_PTRACE'], securebits: ['no_setuid_fixup'] })
   * const own = ['NET_RAW'] as const // also for an ordinary user, by the ambient set
   * builder.capabilities({ bounding: own, permitted: own, inheritable: own, ambient: own })
   * ```
   *
   * `'all'` are those that this program can hand on: in a user namespace all that
   * the kernel has. To name one that it can't is an error, `EPERM`, of `create()`;
   * one that the kernel does not have, `ERR_UNSUPPORTED`.
   */
  capabilities(capabilities: CapabilitySet | CapabilityOptions | CapabilityChange): this {
    this.#change().capabilities = copyCapabilities(capabilities)
    return this
  }

  /** Paths that are hidden if they exist. Replaces the default, which is Docker's. */
  maskedPaths(paths: readonly string[]): this {
    this.#change().maskedPaths = targets('maskedPaths', paths)
    return this
  }

  /** Paths that are made read-only if they exist. Replaces the default, which is Docker's. */
  readonlyPaths(paths: readonly string[]): this {
    this.#change().readonlyPaths = targets('readonlyPaths', paths)
    return this
  }

  /**
   * Where `/proc` comes from: `'new'`, the default, is one that shows the
   * container's processes, proc(5). `'bind'` is the one that this program sees,
   * with what is hidden in it, for where the kernel allows no new one: in a
   * user namespace, while an outer container hides parts of its own, or without
   * a PID namespace. It shows the processes outside, and what their users and
   * arguments are. Equivalent to: `mount --rbind /proc ROOT/proc`
   */
  proc(origin: Origin): this {
    this.#change().proc = originOption('proc', origin)
    return this
  }

  /**
   * Where `/sys` comes from: `'new'`, the default, is one whose devices are those
   * of the container's network namespace, sysfs(5). `'bind'` is the one that
   * this program sees, read-only, for where the kernel allows no new one: in a
   * user namespace without a network namespace, or as with {@link proc}.
   */
  sysfs(origin: Origin): this {
    this.#change().sysfs = originOption('sysfs', origin)
    return this
  }

  /**
   * Whether programs can gain no privileges by execve, as from set-user-ID
   * files. Default: true. prctl(2) PR_SET_NO_NEW_PRIVS
   */
  noNewPrivileges(enabled: boolean): this {
    if (enabled === undefined) throw invalidOption('noNewPrivileges', 'must be true or false')
    this.#change().noNewPrivileges = flagOption('noNewPrivileges', enabled, true)
    return this
  }

  /**
   * What its processes may use, all together. Adds to what was said before. The
   * container gets a control group of its own, also by `limits({})`: its processes
   * start in it, are counted in it, and can be paused. See {@link Limits}; cgroups(7).
   * Equivalent to: `docker run --memory 256m --cpus 0.5 --pids-limit 64`
   *
   * ```ts
   * builder.limits({ memory: '256MiB', cpus: 0.5, pids: 64 })
   * builder.limits({ memory: { max: '1GiB', high: '900MiB' }, cpu: { weight: 50 } })
   * ```
   *
   * @param options With `optional`, a container that can have no group, or not these
   * limits, is made all the same, and `box.omitted` says so. Default: it is an error.
   */
  limits(limits: Limits, options: { optional?: boolean } = {}): this {
    onlyKeys('limits', options, ['optional'])
    const limitsOptional = flagOption('limits.optional', options.optional, false)
    const all = { ...this.#configuration.limits, ...parseLimits('limits', limits) }
    Object.assign(this.#change(), { limits: all, limitsOptional })
    return this
  }

  /**
   * Which device files its processes may make, read and write, after the OCI's default
   * list: of rules that concern the same device the last one counts. Replaces what was
   * said before. A container that has a control group has the default list anyway, unless
   * it has a user namespace, in which no device files can be made. Device files that are
   * made in the root and in `/dev` can be opened then, as far as the rules allow it; see
   * {@link RootfsOptions.nodev}. mknod(2);
   * `Cgroup.setDevices()`. Equivalent to: `docker run --device-cgroup-rule`
   *
   * ```ts
   * builder.devices([{ allow: true, type: 'c', major: 10, minor: 229, access: 'rw' }]) // fuse
   * builder.devices(['a *:* rwm']) // all there are
   * ```
   */
  devices(rules: readonly (DeviceRule | string)[]): this {
    devicesOption('devices', rules)
    this.#change().devices = plainCopy('devices', rules)
    return this
  }

  /**
   * Where its control group is; it gets one of its own also by this.
   * Replaces what was said before. Equivalent to: `docker run --cgroup-parent`
   */
  cgroup(options: GroupOptions = {}): this {
    this.#change().group = groupOptions(options)
    return this
  }

  /** What `start()` runs when it is not told, and the defaults of its options. */
  process(process: { argv: readonly string[] } & ProcessOptions): this {
    onlyKeys('process', process, ['argv', ...processOptions])
    specify(process)
    this.#change().process = plainCopy('process', process)
    return this
  }

  /** Adds a step of your own; `cofferdam/plan` has what to make it of. */
  step(step: Step, placement: StepPlacement = {}): this {
    checkPlacedStep(step, placement)
    this.#change().steps.push({ step, placement: { ...placement } })
    return this
  }

  /**
   * Adds hooks at the six points of the OCI runtime specification: programs, or
   * functions of this program's. They run one after the other.
   *
   * | point             | when                                     | a program runs in, and is found in        |
   * | ----------------- | ---------------------------------------- | ----------------------------------------- |
   * | `prestart`        | all is made, the host's root not left    | the host                                  |
   * | `createRuntime`   | then                                     | the host                                  |
   * | `createContainer` | then                                     | the container's namespaces; the host      |
   * | `startContainer`  | in `start()`, before the program         | the container; the container              |
   * | `poststart`       | in `start()`, after it has been executed | the host                                  |
   * | `poststop`        | in `delete()`, when all is taken back    | the host                                  |
   *
   * A program gets a {@link HookState} as JSON on its standard input, and
   * nothing of this one's environment. On the host it has the bundle as its
   * working directory, or `/`. For `createContainer` it sees the host's files
   * as the new mount namespace has them, has the container's root as its
   * working directory, and the privileges of this program; for
   * `startContainer` it is run as `exec()` would, as root of the container. A
   * function always runs on the host.
   *
   * When one fails, `create()` or `start()` rejects with an error whose `step`
   * names it, as `createRuntime hook 0`: with `ERR_HOOK` and the last 4 KiB of
   * its standard error, `ETIMEDOUT` when it took longer than its timeout, or
   * the error of its execve(2). The container is deleted then, and its
   * `poststop` hooks run; of those the ones that fail are in `box.warnings`,
   * and the others run all the same.
   *
   * @throws CofferdamError `ERR_INVALID_OPTION`, as for `hooks.prestart[0].path`.
   */
  hooks(hooks: Hooks): this {
    this.#change().hooks = addHooks(this.#configuration.hooks, hooks)
    return this
  }

  /**
   * What hooks are told is the container's bundle, an existing directory; programs
   * on the host have it as their working directory.
   */
  bundle(path: string): this {
    this.#change().bundle = hostPathOption('bundle', path)
    return this
  }

  /** What hooks are told besides, by name. Adds to what was said before. */
  annotations(annotations: Readonly<Record<string, string>>): this {
    if (Object.prototype.toString.call(annotations) !== '[object Object]')
      throw invalidOption('annotations', 'must be an object, { name: value }')
    for (const [name, value] of Object.entries(annotations))
      if (name === '' || typeof value !== 'string')
        throw invalidOption('annotations', `${JSON.stringify(name)} must have a name and a text`)
    this.#change().annotations = { ...this.#configuration.annotations, ...annotations }
    return this
  }

  /** The plan of this description, printed, without anything being done. */
  explain(): string {
    return explain(this.#prepare('attached').configuration)
  }

  /**
   * Makes the container and parks it: all is set up, nothing runs yet. Succeeds
   * whole or leaves nothing behind.
   *
   * @throws CofferdamError naming the option that is wrong, before anything is
   * done; or the step and the system call that failed.
   */
  async create(options: CreateOptions = {}): Promise<Box> {
    onlyKeys('create', options, ['lifetime', 'stateFolder', 'signal'])
    const { lifetime = 'attached' } = options
    wordOption('create.lifetime', lifetime, lifetimes)
    const root = stateRoot('create', options)
    const signal = signalOption('create.signal', options.signal)
    signal?.throwIfAborted()
    const { configuration, prepared } = this.#prepare(lifetime)
    const id = configuration.id ?? randomId()
    try {
      return await Box.create(root, id, configuration, prepared, signal)
    } catch (error) {
      // What it looked like may have changed since it was looked at.
      this.#ready = undefined
      forget(configuration)
      throw error
    }
  }

  /**
   * Finds a container that this or another program has made, also one that has
   * ended or that was never finished. An attached one is found by other programs
   * only if it has changed something on the host, and then can only be deleted.
   *
   * @throws CofferdamError `ENOENT` when there is none of that name.
   */
  static async load(id: string, options: StateOptions = {}): Promise<Box> {
    return await Box.load(stateRoot('load', options), checkId(id))
  }

  /** All containers that {@link load} finds. Equivalent to: `docker ps --all` */
  static async list(options: StateOptions = {}): Promise<Box[]> {
    return await Box.list(stateRoot('list', options))
  }

  /** What is said to the builder later does not change what has been made. */
  #prepare(lifetime: Lifetime): { configuration: Configuration; prepared: Prepared } {
    if (this.#ready?.configuration.lifetime === lifetime) return this.#ready
    const { mounts, steps } = this.#configuration
    const copy = { ...this.#configuration, lifetime, mounts: [...mounts], steps: [...steps] }
    const configuration = withUserNamespace(copy)
    const ready = { configuration, prepared: prepare(configuration) }
    // What a path says is this program's own namespace may be another one the next time.
    if (configuration.isolation === copy.isolation) this.#ready = ready
    return ready
  }

  /** The description, to be changed. */
  #change(): Configuration {
    this.#ready = undefined
    return this.#configuration
  }
}
