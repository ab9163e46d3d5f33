import { onlyKeys, signalOption } from '../base/index.js'
import {
  type Cgroup,
  type GroupEvent,
  GroupEvents,
  type PressureTrigger,
} from '../cgroups/index.js'
import { Changes, type Exit } from '../run/index.js'

/** What is told of a container. */
export type ContainerEvent =
  /** Its first process has ended. */
  | ({ type: 'exit' } & Exit)
  /** Its processes are stopped, by `pause()`. */
  | { type: 'paused' }
  /** They go on. */
  | { type: 'resumed' }
  /** What happens to its control group: `oom`, `oomKill`, `pidsMax`, `pressure` and so on. */
  | Exclude<GroupEvent, { type: 'frozen' | 'thawed' }>

/** Options of {@link Box.events}. */
export interface ContainerEventsOptions {
  /** Ends it. */
  signal?: AbortSignal
  /** When pressure is told of, as for {@link Cgroup.events}. Default: never. */
  pressure?: readonly PressureTrigger[]
}

function checkEventsOptions(options: ContainerEventsOptions): void {
  onlyKeys('events', options, ['signal', 'pressure'])
}

/** Events one by one; it ends with `deleted`, or when it is closed. */
export type ContainerEvents = AsyncIterableIterator<ContainerEvent> & Disposable

/** How its first process ends, once that is known. */
type Ending = () => Promise<Exit>

/** @throws CofferdamError as {@link Cgroup.events} does. */
export function groupEvents(
  group: Cgroup,
  options: ContainerEventsOptions,
  ending: Ending,
): ContainerEvents {
  checkEventsOptions(options)
  // What it looks up becomes the container's on the way.
  return new EventsOfGroup(group, options, ending) as unknown as ContainerEvents
}

class EventsOfGroup extends GroupEvents {
  readonly #ending: Ending
  #asked = false
  #exit: Exit | undefined

  constructor(group: Cgroup, options: ContainerEventsOptions, ending: Ending) {
    super(group, options)
    this.#ending = ending
  }

  /** Nobody is to be kept alive by what nobody waits for. */
  protected override waiting(waits: boolean): void {
    super.waiting(waits)
    if (!waits || this.#asked) return
    this.#asked = true
    void this.#ending().then(exit => {
      this.#exit = exit
      this.stale()
    })
  }

  /** What has happened to the group comes first: it may be why the process has ended. */
  protected override look(): readonly GroupEvent[] {
    const events: ContainerEvent[] = super.look().map(event => {
      if (event.type === 'frozen') return { type: 'paused' }
      return event.type === 'thawed' ? { type: 'resumed' } : event
    })
    if (this.#exit !== undefined) {
      const last = events.at(-1)?.type === 'deleted' ? 1 : 0
      events.splice(events.length - last, 0, { type: 'exit', ...this.#exit })
      this.#exit = undefined
    }
    return events as readonly GroupEvent[]
  }
}

/** Of a container without a control group there is less to tell. */
export class PlainEvents extends Changes<ContainerEvent> {
  readonly #ending: Ending
  #asked = false
  #news: ContainerEvent[] = []

  constructor(options: ContainerEventsOptions, ending: Ending) {
    checkEventsOptions(options)
    super(signalOption('events.signal', options.signal))
    this.#ending = ending
    this.begin()
  }

  /** The container has been deleted by this program. */
  deleted(): void {
    this.#tell({ type: 'deleted' })
  }

  protected override waiting(waits: boolean): void {
    if (!waits || this.#asked) return
    this.#asked = true
    void this.#ending().then(exit => this.#tell({ type: 'exit', ...exit }))
  }

  protected look(): readonly ContainerEvent[] {
    const news = this.#news
    this.#news = []
    if (news.at(-1)?.type === 'deleted') this.end()
    return news
  }

  #tell(event: ContainerEvent): void {
    this.#news.push(event)
    this.stale()
  }
}
