import { invalidOption, show } from '../../base/index.js'
import { attributes, type FixedCodec, format, s32, struct, u32 } from '../codec/index.js'
import { type Kind, plainKind } from './kind.js'

/** A queue, in which packets (`pfifo`) or bytes (`bfifo`) are counted. tc-pfifo(8) */
export interface FifoOptions {
  kind: 'pfifo' | 'bfifo'
  /** How many wait at most. Default: as many as the device says, by packets or by bytes. */
  limit?: number
}

const counted = plainKind(format(struct({ limit: u32 }), attributes({})))

export const fifo: Kind = {
  // Nothing given is nothing sent, and then it is the kernel that says how many.
  write: (option, options) =>
    Object.keys(options).length === 1 ? undefined : counted.write(option, options),
  read: counted.read,
}

/** Bands, of which the first that has something sends. tc-prio(8) */
export interface PrioOptions {
  kind: 'prio'
  /** How many: 2 to 16. Default: 3. */
  bands?: number
  /** The band of each of the 16 priorities that a socket can have (`SO_PRIORITY`). */
  priorities?: readonly number[]
}

const PRIORITIES = 16
/** Of tc and of the kernel's own qdisc: by the type of service that a packet has. */
const usual = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]

const priorities: FixedCodec<readonly number[]> = {
  size: PRIORITIES,
  zero: Array(PRIORITIES).fill(0),
  at: (bytes, place) => [...bytes.subarray(place, place + PRIORITIES)],
  put(to, place, value) {
    if (
      !Array.isArray(value) ||
      value.length !== PRIORITIES ||
      !value.every(band => Number.isInteger(band) && band >= 0 && band < 16)
    )
      throw invalidOption(to.field, `${show(value)} is no list of ${PRIORITIES} bands`)
    to.bytes.set(value, place)
  },
  read: (bytes, start) => [...bytes.subarray(start, start + PRIORITIES)],
  write(to, value) {
    this.put(to, to.reserve(PRIORITIES), value)
  },
}

const banded = plainKind(format(struct({ bands: s32, priorities }), attributes({})))

export const prio: Kind = {
  write: (option, options) => banded.write(option, { bands: 3, priorities: usual, ...options }),
  read: banded.read,
}
