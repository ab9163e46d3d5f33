import { flagOption, invalidOption, onlyKeys, show, signalOption } from '../../base/index.js'
import { Changes } from '../../run/index.js'
import { type GroupFolder, type GroupFolders, unifiedOf } from '../folders.js'
import { goneError } from '../tasks.js'
import { inodeOf, watchRemoval } from './removal.js'
import type { EventSource } from './source.js'
import { sourcesOf } from './sources.js'
import { type PressureTrigger, triggersOption } from './triggers.js'
import { eventTypes, type GroupEvent, type GroupEventType } from './types.js'

/** Options of `Cgroup.events()`. */
export interface GroupEventsOptions {
  /** Ends it. */
  signal?: AbortSignal
  /** Only events of these types, and `'deleted'`. Default: all. */
  only?: readonly GroupEventType[]
  /** When pressure is told of; v2 and hybrid hosts. Default: never. */
  pressure?: readonly PressureTrigger[]
  /** What happens in groups below it is not told of where the kernel counts it apart. Default: false. */
  local?: boolean
}

/** First and last pause between looks where the kernel tells nothing, in milliseconds. */
const [SHORTEST, LONGEST] = [10, 1000]

/** Those that are open, by the path of their groups. */
const open = new Map<string, Set<GroupEvents>>()

/**
 * What happens to a group, from the call that makes it on, of `Cgroup.events()`. It ends by itself
 * when the group is removed.
 */
export class GroupEvents extends Changes<GroupEvent> {
  readonly #path: string
  /** Its end is the group's end. */
  readonly #folder: GroupFolder
  readonly #inode: bigint | undefined
  readonly #sources = new Set<EventSource>()
  readonly #wanted: ReadonlySet<GroupEventType>
  readonly #unwatchRemoval: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #pause = SHORTEST

  /** @internal */
  constructor(group: GroupFolders, options: GroupEventsOptions) {
    onlyKeys('events', options, ['signal', 'only', 'pressure', 'local'])
    const triggers = triggersOption('events.pressure', options.pressure)
    const local = flagOption('events.local', options.local, false)
    const wanted = typesOption('events.only', options.only)
    super(signalOption('events.signal', options.signal))
    const folder = unifiedOf(group) ?? group.folders[0]
    if (folder === undefined) throw goneError(group)
    this.#path = group.path
    this.#folder = folder
    this.#wanted = wanted
    const watcher = {
      watch: (fd: number, told?: () => void) => this.watch(fd, told),
      unwatch: (watch: number) => this.unwatch(watch),
    }
    try {
      this.#inode = inodeOf(folder.path)
      for (const source of sourcesOf(group, watcher, { wanted, local, triggers }))
        this.#sources.add(source)
      // It ends with the group; the topmost one has no end.
      if (group.path !== '/') this.#unwatchRemoval = watchRemoval(folder.path, () => this.stale())
      if (this.#gone()) throw goneError(group)
    } catch (error) {
      this.close()
      throw error
    }
    const others = open.get(group.path)
    if (others === undefined) open.set(group.path, new Set([this]))
    else others.add(this)
    this.begin()
  }

  /** What the files of groups say that are about to go is told of. */
  static beforeRemoval(path: string): void {
    for (const [each, all] of open)
      if (each === path || each.startsWith(`${path}/`)) for (const events of all) events.lookNow()
  }

  protected look(): readonly GroupEvent[] {
    const found: GroupEvent[] = []
    const gone = this.#path !== '/' && this.#gone()
    for (const source of this.#sources) {
      const news = source.look()
      found.push(...(news ?? source.atEnd?.() ?? []))
      if (news === undefined) this.#drop(source)
    }
    const events = found.filter(({ type }) => this.#wanted.has(type))
    if (gone) {
      events.push({ type: 'deleted' })
      this.end()
    }
    if (events.length > 0) this.#pause = SHORTEST
    if (!gone) this.#lookLater()
    return events
  }

  protected override waiting(waits: boolean): void {
    this.#pause = SHORTEST
    if (waits) this.#lookLater()
    else this.#stopLooking()
  }

  protected override closing(): void {
    this.#stopLooking()
    this.#unwatchRemoval?.()
    for (const source of this.#sources) this.#drop(source)
    const others = open.get(this.#path)
    others?.delete(this)
    if (others?.size === 0) open.delete(this.#path)
  }

  /** Also when there is another of its name. */
  #gone(): boolean {
    return this.#inode === undefined || inodeOf(this.#folder.path) !== this.#inode
  }

  #drop(source: EventSource): void {
    this.#sources.delete(source)
    source.close?.()
  }

  /** After a pause, and again, while somebody waits for what the kernel tells nothing of. */
  #lookLater(): void {
    if (this.#timer !== undefined || !this.waits || !this.#mustLook()) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.stale()
    }, this.#pause)
    this.#pause = Math.min(this.#pause * 2, LONGEST)
  }

  #stopLooking(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Whether there is something that nobody tells of. */
  #mustLook(): boolean {
    if (this.#unwatchRemoval === undefined && this.#path !== '/') return true
    for (const { polled } of this.#sources) if (polled) return true
    return false
  }
}

function typesOption(option: string, types: unknown): ReadonlySet<GroupEventType> {
  if (types === undefined) return new Set(eventTypes)
  if (!Array.isArray(types)) throw invalidOption(option, `${show(types)} is no list`)
  for (const type of types)
    if (!eventTypes.includes(type))
      throw invalidOption(option, `${show(type)} is no event; known are ${eventTypes.join(', ')}`)
  return new Set(types)
}
