import type { Descriptor } from '../base/index.js'
import type { NamespaceReference } from '../namespaces/index.js'
import { openSocketIn, type Protocol } from './protocols.js'
import { receive } from './receive.js'

/** The least there is: that something has been told is all it has to know. */
const ROOM = 4096

/** Knows whether the kernel has told of changes, and not which. */
export class Witness {
  readonly #descriptor: Descriptor
  #changes = 0

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor
  }

  static async open(
    netns: NamespaceReference | undefined,
    protocol: Protocol,
    group: number,
  ): Promise<Witness> {
    return new Witness(await openSocketIn(netns, protocol, [group], ROOM))
  }

  /** A number that is another one when there have been changes since it was last asked for. */
  changes(): number {
    while (receive(this.#descriptor.fd) !== null) this.#changes++
    return this.#changes
  }

  close(): void {
    this.#descriptor.close()
  }
}
