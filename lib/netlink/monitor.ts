import type { Descriptor } from '../base/index.js'
import { Changes } from '../run/index.js'
import { eachMessage, type Received } from './codec/index.js'
import { receive } from './receive.js'

/** Told instead of what was lost: more came than the socket's buffer took. List anew what is watched. */
export interface Lost {
  readonly kind: 'lost'
}

/**
 * What a subsystem of the kernel tells of by itself, one by one. It ends when it is closed, or by
 * its signal. Nothing is missed from the moment that it is there; of what came while nobody took
 * it some may be lost, which is told of.
 */
export class Monitor<T> extends Changes<T | Lost> {
  readonly #descriptor: Descriptor
  readonly #read: (bytes: Buffer, received: Received) => T | undefined
  readonly #walk: typeof eachMessage
  #fd: number

  /**
   * @param descriptor A socket that listens; it is this object's.
   * @param read Makes of a message what is told; undefined leaves it out.
   * @param walk Finds the messages in what has been received, where they have no headers of netlink's.
   */
  constructor(
    descriptor: Descriptor,
    read: (bytes: Buffer, received: Received) => T | undefined,
    signal?: AbortSignal,
    walk: typeof eachMessage = eachMessage,
  ) {
    super(signal)
    this.#walk = walk
    this.#descriptor = descriptor
    this.#read = read
    this.#fd = this.watch(descriptor.fd)[1]
    this.begin()
  }

  protected look(): readonly (T | Lost)[] {
    const found: (T | Lost)[] = []
    for (;;) {
      const bytes = receive(this.#fd)
      if (bytes === null) return found
      if (bytes === 'lost') found.push({ kind: 'lost' })
      else
        this.#walk(bytes, one => {
          const told = this.#read(bytes, one)
          if (told !== undefined) found.push(told)
        })
    }
  }

  protected override closing(): void {
    this.#descriptor.close()
  }
}
