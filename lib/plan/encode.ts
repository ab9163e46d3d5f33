import { constants } from 'node:os'
import { CofferdamError, nativeFacts } from '../base/index.js'
import type { Argument, Operation } from './operation.js'
import { Placeholder, PlaceholderLength, Slot, wait } from './operation.js'
import type { Step, WaitingStep } from './step.js'
import {
  ARGS,
  argKinds,
  MAX_OPS,
  MAX_PLAN,
  NO_SLOT,
  OP_OPTIONAL,
  opcodes,
  SLOTS,
  WIRE_MAGIC,
  WIRE_VERSION,
} from './wire.js'

// struct cf_header and struct cf_op of src-native/core/wire.h.
const HEADER_SIZE = 24
const OP_SIZE = 80
const OP_KINDS = 12
const OP_TOLERATE = 18
const OP_ARGS = 32

/** A plan as the core takes it, with what is needed to make sense of its answers. */
export interface EncodedPlan {
  bytes: Uint8Array
  /** For each operation, the step and the operation it comes from. */
  sources: readonly { step: Step; operation: Operation }[]
  /** What to run at each waiting point. */
  points: readonly WaitingStep[]
  /** The slots that hold descriptors when the plan has run, in ascending order. */
  held: readonly Slot[]
  /** Names of the placeholders, in the order in which {@link patches} counts them. */
  placeholders: readonly string[]
  /**
   * Where placeholders stand, four numbers each: which one, whether its text
   * (0) or its length (1) goes there, the offset, and how many bytes fit. The
   * addon fills in the copy that it sends.
   */
  patches: Uint32Array
}

/** How {@link encode} is to see the steps. */
export interface EncodeOptions {
  /** Slots that hold descriptors from the start: first, second, … */
  given?: readonly Slot[]
  /** Slots are kept after their last use, for {@link EncodedPlan.held}. */
  hold?: boolean
}

/**
 * Encodes the steps of one side and half into the bytes that the core carries
 * out. Waiting steps become waiting points, numbered in their order.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what the wire format can't
 * hold: too many operations, or descriptors in use at once.
 */
export function encode(steps: readonly Step[], options: EncodeOptions = {}): EncodedPlan {
  const sources: { step: Step; operation: Operation }[] = []
  const stepNumbers: number[] = []
  const points: WaitingStep[] = []
  steps.forEach((step, number) => {
    if (step.side === 'waiting') {
      sources.push({ step, operation: wait(points.length) })
      stepNumbers.push(number)
      points.push(step)
      return
    }
    for (const operation of step.operations) {
      sources.push({ step, operation })
      stepNumbers.push(number)
    }
  })
  if (sources.length > MAX_OPS) throw tooLarge(`${sources.length} operations; ${MAX_OPS} fit`)

  const slots = assignSlots(
    sources.map(source => source.operation),
    options,
  )
  const writer = new Writer(sources.length)
  sources.forEach(({ step, operation }, index) => {
    const optional = step.side === 'init' && step.optional === true
    writer.operation(index, stepNumbers[index] ?? 0, operation, optional, slots[index] ?? new Map())
  })
  return {
    bytes: writer.finish(),
    sources,
    points,
    held: options.hold ? [...(slots.at(-1) ?? new Map<Slot, number>()).keys()] : [],
    placeholders: writer.placeholders,
    patches: new Uint32Array(writer.patches),
  }
}

function tooLarge(problem: string): CofferdamError {
  return new CofferdamError(`plan: ${problem}`, { code: 'ERR_INVALID_OPTION', option: 'plan' })
}

/**
 * Gives each slot the lowest free number from the operation that fills it to
 * the one that uses it last, so that a plan of hundreds of mounts gets by with
 * a handful. Answers, for each operation, which slots have which number.
 */
function assignSlots(
  operations: readonly Operation[],
  { given = [], hold = false }: EncodeOptions,
): Map<Slot, number>[] {
  const lastUse = new Map<Slot, number>()
  operations.forEach((operation, index) => {
    for (const argument of operation.args)
      if (argument instanceof Slot) lastUse.set(argument, index)
    if (operation.result !== undefined) lastUse.set(operation.result, index)
  })

  const numbers = new Map<Slot, number>()
  given.forEach((slot, number) => {
    numbers.set(slot, number)
  })
  return operations.map((operation, index) => {
    const { result } = operation
    if (result !== undefined && !numbers.has(result)) {
      const taken = new Set(numbers.values())
      let number = 0
      while (taken.has(number)) number++
      if (number >= SLOTS) throw tooLarge(`more than ${SLOTS} descriptors in use at once`)
      numbers.set(result, number)
    }
    const now = new Map(numbers)
    if (!hold)
      for (const slot of numbers.keys())
        if ((lastUse.get(slot) ?? -1) <= index) numbers.delete(slot)
    return now
  })
}

/** Lays out header, operations and data. */
class Writer {
  readonly placeholders: string[] = []
  readonly patches: number[] = []
  readonly #opCount: number
  readonly #strings = new Map<string, number>()
  #bytes: Buffer
  #size: number

  constructor(opCount: number) {
    this.#opCount = opCount
    this.#size = HEADER_SIZE + opCount * OP_SIZE
    this.#bytes = Buffer.alloc(Math.max(8192, this.#size * 2))
  }

  operation(
    index: number,
    step: number,
    operation: Operation,
    optional: boolean,
    slots: ReadonlyMap<Slot, number>,
  ): void {
    const at = HEADER_SIZE + index * OP_SIZE
    const { args, tolerate = [], result } = operation
    if (args.length > ARGS) throw tooLarge(`an operation with ${args.length} arguments`)
    this.#bytes.writeUInt16LE(operation.code, at)
    this.#bytes.writeUInt16LE(step, at + 2)
    this.#bytes.writeUInt32LE(syscallNumber(operation), at + 4)
    this.#bytes[at + 8] = result === undefined ? NO_SLOT : numberOf(result, slots)
    this.#bytes[at + 9] = optional ? OP_OPTIONAL : 0
    this.#bytes[at + 10] = operation.skip ?? 0
    this.#bytes[at + 11] = args.length
    tolerate.forEach((code, i) => {
      this.#bytes.writeUInt16LE(errnoNumber(code), at + OP_TOLERATE + 2 * i)
    })
    args.forEach((argument, i) => {
      const [kind, value] = this.#argument(argument, slots, at + OP_ARGS + 8 * i)
      this.#bytes[at + OP_KINDS + i] = kind
      this.#bytes.writeBigUInt64LE(value, at + OP_ARGS + 8 * i)
    })
  }

  finish(): Uint8Array {
    if (this.#size > MAX_PLAN) throw tooLarge(`${this.#size} bytes; ${MAX_PLAN} fit`)
    this.#bytes.writeUInt32LE(WIRE_MAGIC, 0)
    this.#bytes.writeUInt32LE(WIRE_VERSION, 4)
    this.#bytes.writeUInt32LE(this.#size, 8)
    this.#bytes.writeUInt32LE(this.#opCount, 12)
    return this.#bytes.subarray(0, this.#size)
  }

  /** Kind and value of an argument that stands at `at`. */
  #argument(
    argument: Argument,
    slots: ReadonlyMap<Slot, number>,
    at: number,
  ): [kind: number, value: bigint] {
    if (typeof argument === 'number' || typeof argument === 'bigint')
      return [argKinds.VALUE, BigInt.asUintN(64, BigInt(argument))]
    if (typeof argument === 'string') return [argKinds.STRING, BigInt(this.#string(argument))]
    if (argument instanceof Slot) return [argKinds.SLOT, BigInt(numberOf(argument, slots))]
    if (argument instanceof Placeholder) {
      return [argKinds.BYTES, range(this.#placeholder(argument), argument.capacity)]
    }
    if (argument instanceof PlaceholderLength) {
      this.#patch(argument.of, 1, at)
      return [argKinds.VALUE, 0n]
    }
    if ('value' in argument) return [argKinds.VALUE, BigInt.asUintN(64, BigInt(argument.value))]
    if ('bytes' in argument) {
      const offset = this.#reserve(argument.bytes.length, 8)
      this.#bytes.set(argument.bytes, offset)
      return [argKinds.BYTES, range(offset, argument.bytes.length)]
    }
    const strings = argument.map(item =>
      typeof item === 'string' ? this.#string(item) : this.#placeholder(item),
    )
    const offset = this.#reserve(8 * (strings.length + 1), 8)
    strings.forEach((string, i) => {
      this.#bytes.writeUInt32LE(string, offset + 8 * i)
    })
    return [argKinds.VECTOR, range(offset, strings.length)]
  }

  #patch({ name, capacity }: Placeholder, what: 0 | 1, offset: number): void {
    if (!this.placeholders.includes(name)) this.placeholders.push(name)
    this.patches.push(this.placeholders.indexOf(name), what, offset, capacity)
  }

  /** Room for the prefix, the text that is to come, and the NUL that ends it. */
  #placeholder(placeholder: Placeholder): number {
    const { prefix, capacity } = placeholder
    const prefixLength = Buffer.byteLength(prefix)
    const offset = this.#reserve(prefixLength + capacity + 1, 1)
    this.#bytes.write(prefix, offset)
    this.#patch(placeholder, 0, offset + prefixLength)
    return offset
  }

  #string(text: string): number {
    const known = this.#strings.get(text)
    if (known !== undefined) return known
    if (text.includes('\0'))
      throw new CofferdamError(`${JSON.stringify(text)} has a NUL character`, {
        code: 'ERR_INVALID_OPTION',
      })
    const length = Buffer.byteLength(text)
    const offset = this.#reserve(length + 1, 1)
    this.#bytes.write(text, offset)
    this.#strings.set(text, offset)
    return offset
  }

  #reserve(length: number, alignment: number): number {
    const offset = Math.ceil(this.#size / alignment) * alignment
    this.#size = offset + length
    if (this.#size > this.#bytes.length) {
      const larger = Buffer.alloc(this.#size * 2)
      this.#bytes.copy(larger)
      this.#bytes = larger
    }
    return offset
  }
}

function range(offset: number, length: number): bigint {
  return BigInt(offset) | (BigInt(length) << 32n)
}

function numberOf(slot: Slot, slots: ReadonlyMap<Slot, number>): number {
  const number = slots.get(slot)
  if (number === undefined)
    throw new CofferdamError(`plan: <${slot.name}> is used before anything fills it`, {
      code: 'ERR_INVALID_OPTION',
      option: 'plan',
    })
  return number
}

function syscallNumber(operation: Operation): number {
  if (operation.code !== opcodes.SYSCALL) return 0
  if (typeof operation.call === 'number') return operation.call
  const number = nativeFacts().syscalls[operation.call ?? '']
  if (number === undefined)
    throw new CofferdamError(`plan: no system call ${operation.call}`, {
      code: 'ERR_INVALID_OPTION',
      option: 'plan',
    })
  return number
}

const errnoNumbers: Record<string, number> = constants.errno

function errnoNumber(code: string): number {
  const number = errnoNumbers[code]
  if (number === undefined)
    throw new CofferdamError(`plan: no error ${code}`, {
      code: 'ERR_INVALID_OPTION',
      option: 'plan',
    })
  return number
}
