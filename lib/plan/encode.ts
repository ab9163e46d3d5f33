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
  OP_OTHERWISE,
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
  /** The operation of this number, and the step that it comes from. */
  source(index: number): { step: Step; operation: Operation } | undefined
  /** What to run at each waiting point. */
  points: readonly WaitingStep[]
  /** init goes on in another child of the host's. */
  forks: boolean
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
  /** Slots are kept after their last use, for {@link EncodedPlan.held}, if not closed. */
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
  const operations: Operation[] = []
  const stepNumbers: number[] = []
  const points: WaitingStep[] = []
  for (let number = 0; number < steps.length; number++) {
    const step = steps[number] as Step
    if (step.side === 'waiting') {
      const { send, receive } = step
      const slots = { ...(send && { send }), ...(receive && { result: receive }) }
      operations.push(wait(points.length, slots))
      stepNumbers.push(number)
      points.push(step)
      continue
    }
    for (const operation of step.operations) {
      operations.push(operation)
      stepNumbers.push(number)
    }
  }
  if (operations.length > MAX_OPS)
    throw invalidPlan(`${operations.length} operations; ${MAX_OPS} fit`)

  const slots = new SlotTable(operations, options)
  const writer = new Writer(operations.length)
  for (let index = 0; index < operations.length; index++) {
    const operation = operations[index] as Operation
    const number = stepNumbers[index] as number
    const step = steps[number] as Step
    slots.enter(operation)
    if (operation.code === opcodes.AWAY) slots.goAway(index + Number(operation.args[0]))
    writer.operation(index, number, operation, step.side === 'init' && !!step.optional, slots)
    slots.leave(operation, index)
  }
  return {
    bytes: writer.finish(),
    points,
    forks: operations.some(operation => operation.code === opcodes.SIBLING),
    held: slots.held(),
    placeholders: writer.placeholders,
    patches: new Uint32Array(writer.patches),
    source(index) {
      const operation = operations[index]
      if (operation === undefined) return undefined
      return { operation, step: steps[stepNumbers[index] as number] as Step }
    },
  }
}

function invalidPlan(problem: string): CofferdamError {
  return new CofferdamError(`plan: ${problem}`, { code: 'ERR_INVALID_OPTION', option: 'plan' })
}

/**
 * Gives each slot a number from the operation that fills it to the one that
 * uses it last. Numbers that were never used come first, since the core closes
 * what is in one that is given again, and closes all at once in the end.
 */
class SlotTable {
  /** For each operation, the slots that no later one uses. */
  readonly #lastUses: Slot[][] = []
  readonly #numbers = new Map<Slot, number>()
  readonly #taken = new Uint8Array(SLOTS)
  readonly #hold: boolean
  /** The lowest number that was never given. */
  #fresh = 0
  #away: { last: number; before: ReadonlySet<Slot> } | undefined

  constructor(operations: readonly Operation[], { given = [], hold = false }: EncodeOptions) {
    this.#hold = hold
    if (!hold) this.#findLastUses(operations)
    for (const slot of given) this.#give(slot)
  }

  /** Before an operation: its result has a number. */
  enter({ result }: Operation): void {
    if (result !== undefined && !this.#numbers.has(result)) this.#give(result)
  }

  /** What follows, up to operation `last`, is done away from home. */
  goAway(last: number): void {
    this.#away = { last, before: new Set(this.#numbers.keys()) }
  }

  /**
   * After it: what it was the last to use is free again. Of what was filled
   * away nothing is left but the last operation's result.
   */
  leave({ result, call, args }: Operation, index: number): void {
    if (call === 'close' && args[0] instanceof Slot && this.#hold) this.#free(args[0])
    const last = this.#lastUses[index]
    if (last !== undefined) for (const slot of last) this.#free(slot)
    if (this.#away?.last !== index) return
    for (const slot of [...this.#numbers.keys()])
      if (slot !== result && !this.#away.before.has(slot)) this.#free(slot)
    this.#away = undefined
  }

  numberOf(slot: Slot): number {
    const number = this.#numbers.get(slot)
    if (number === undefined) throw invalidPlan(`<${slot.name}> is used before anything fills it`)
    return number
  }

  /** The slots that are held to the end, in the order of their numbers. */
  held(): Slot[] {
    if (!this.#hold) return []
    const byNumber = [...this.#numbers].sort(([, a], [, b]) => a - b)
    return byNumber.map(([slot]) => slot)
  }

  /** Seen from the end, the first sight of a slot is its last use. */
  #findLastUses(operations: readonly Operation[]): void {
    const seen = new Set<Slot>()
    for (let index = operations.length - 1; index >= 0; index--) {
      const { args, result } = operations[index] as Operation
      let last: Slot[] | undefined
      for (let i = args.length; i >= 0; i--) {
        const slot = i === args.length ? result : args[i]
        if (typeof slot !== 'object' || !isSlot(slot) || seen.has(slot)) continue
        seen.add(slot)
        if (last === undefined) this.#lastUses[index] = last = []
        last.push(slot)
      }
    }
  }

  #free(slot: Slot): void {
    this.#taken[this.numberOf(slot)] = 0
    this.#numbers.delete(slot)
  }

  #give(slot: Slot): void {
    const number = this.#fresh < SLOTS ? this.#fresh++ : this.#taken.indexOf(0)
    if (number < 0) throw invalidPlan(`more than ${SLOTS} descriptors in use at once`)
    this.#taken[number] = 1
    this.#numbers.set(slot, number)
  }
}

/** `instanceof`, which would be most of what encoding costs, is slower. */
function isSlot(argument: object): argument is Slot {
  return argument.constructor === Slot
}

/**
 * Plans are put together here, and copied out when their size is known. The
 * same memory as bytes and as the 32-bit numbers that most fields are.
 */
let bytes = Buffer.alloc(0)
let words = new Uint32Array(0)

/** Makes room for `size` bytes and as many again. */
function grow(size: number): void {
  const larger = new ArrayBuffer(Math.max(64 * 1024, Math.ceil(size / 4) * 8))
  const copy = Buffer.from(larger)
  copy.set(bytes)
  bytes = copy
  words = new Uint32Array(larger)
}

/** Lays out header, operations and data. */
class Writer {
  readonly placeholders: string[] = []
  readonly patches: number[] = []
  readonly #opCount: number
  readonly #strings = new Map<string, number>()
  #size = 0

  constructor(opCount: number) {
    this.#opCount = opCount
    this.#reserve(HEADER_SIZE + opCount * OP_SIZE, 1)
  }

  operation(
    index: number,
    step: number,
    operation: Operation,
    optional: boolean,
    slots: SlotTable,
  ): void {
    const at = HEADER_SIZE + index * OP_SIZE
    const { args, tolerate, result } = operation
    if (args.length > ARGS) throw invalidPlan(`an operation with ${args.length} arguments`)
    words[at / 4] = operation.code | (step << 16)
    words[at / 4 + 1] = syscallNumber(operation)
    bytes[at + 8] = result === undefined ? NO_SLOT : slots.numberOf(result)
    const { skip = 0, otherwise = 0 } = operation
    bytes[at + 9] = (optional ? OP_OPTIONAL : 0) | (otherwise > 0 ? OP_OTHERWISE : 0)
    bytes[at + 10] = otherwise > 0 ? otherwise : skip
    bytes[at + 11] = args.length
    if (tolerate !== undefined)
      for (let i = 0; i < tolerate.length; i++)
        bytes.writeUInt16LE(errnoNumber(tolerate[i] as string), at + OP_TOLERATE + 2 * i)
    for (let i = 0; i < args.length; i++) {
      // First the argument: it may make `bytes` another buffer.
      const kind = this.#argument(args[i] as Argument, slots, at + OP_ARGS + 8 * i)
      bytes[at + OP_KINDS + i] = kind
    }
  }

  finish(): Uint8Array {
    if (this.#size > MAX_PLAN) throw invalidPlan(`${this.#size} bytes; ${MAX_PLAN} fit`)
    words[0] = WIRE_MAGIC
    words[1] = WIRE_VERSION
    words[2] = this.#size
    words[3] = this.#opCount
    return Uint8Array.prototype.slice.call(bytes, 0, this.#size)
  }

  /** Writes an argument to `at`, and what it points to behind all else; gives its kind. */
  #argument(argument: Argument, slots: SlotTable, at: number): number {
    if (typeof argument === 'number' || typeof argument === 'bigint') {
      writeValue(argument, at)
      return argKinds.VALUE
    }
    if (typeof argument === 'string') {
      const offset = this.#string(argument)
      words[at / 4] = offset
      return argKinds.STRING
    }
    if ('value' in argument) {
      writeValue(argument.value, at)
      return argKinds.VALUE
    }
    if (isSlot(argument)) {
      words[at / 4] = slots.numberOf(argument)
      return argKinds.SLOT
    }
    if ('bytes' in argument) {
      const offset = this.#reserve(argument.bytes.length, 8)
      bytes.set(argument.bytes, offset)
      writeRange(offset, argument.bytes.length, at)
      return argKinds.BYTES
    }
    if (argument instanceof Placeholder) {
      writeRange(this.#placeholder(argument), argument.capacity, at)
      return argKinds.BYTES
    }
    if (argument instanceof PlaceholderLength) {
      this.#patch(argument.of, 1, at)
      return argKinds.VALUE
    }
    const strings = argument.map(item =>
      typeof item === 'string' ? this.#string(item) : this.#placeholder(item),
    )
    const offset = this.#reserve(8 * (strings.length + 1), 8)
    strings.forEach((string, i) => {
      words[offset / 4 + 2 * i] = string
    })
    writeRange(offset, strings.length, at)
    return argKinds.VECTOR
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
    bytes.write(prefix, offset)
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
    // Three bytes are the most that a UTF-16 code unit becomes.
    const offset = this.#size
    this.#ensure(offset + 3 * text.length + 1)
    const end = offset + writeText(text, offset)
    bytes[end] = 0
    this.#size = end + 1
    this.#strings.set(text, offset)
    return offset
  }

  /** Makes the buffer at least so large. */
  #ensure(size: number): void {
    if (size <= bytes.length) return
    if (size > 2 * MAX_PLAN) throw invalidPlan(`more than ${MAX_PLAN} bytes`)
    grow(size)
  }

  /** Room for `length` bytes, all zero. */
  #reserve(length: number, alignment: number): number {
    const offset = Math.ceil(this.#size / alignment) * alignment
    const end = offset + length
    this.#ensure(end)
    if (end - this.#size < 64) for (let at = this.#size; at < end; at++) bytes[at] = 0
    else bytes.fill(0, this.#size, end)
    this.#size = end
    return offset
  }
}

/** Writes UTF-8 and gives its length. Most texts are short and ASCII. */
function writeText(text: string, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 127) return bytes.write(text, at)
    bytes[at + i] = unit
  }
  return text.length
}

const TWO_32 = 2 ** 32

/** Writes a 64-bit integer. Most are small numbers, for which BigInt would be slow. */
function writeValue(value: number | bigint, at: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < TWO_32) {
    words[at / 4] = value >>> 0
    words[at / 4 + 1] = value < 0 ? 0xffffffff : 0
  } else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at)
}

function writeRange(offset: number, length: number, at: number): void {
  words[at / 4] = offset
  words[at / 4 + 1] = length
}

function syscallNumber(operation: Operation): number {
  if (operation.code !== opcodes.SYSCALL) return 0
  if (typeof operation.call === 'number') return operation.call
  syscalls ??= nativeFacts().syscalls
  const number = syscalls[operation.call ?? '']
  if (number === undefined) throw invalidPlan(`no system call ${operation.call}`)
  return number
}

let syscalls: Record<string, number> | undefined

const errnoNumbers: Record<string, number> = constants.errno

function errnoNumber(code: string): number {
  const number = errnoNumbers[code]
  if (number === undefined) throw invalidPlan(`no error ${code}`)
  return number
}
