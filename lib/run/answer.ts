import { constants, fstatSync, readSync } from 'node:fs'
import { CofferdamError, Descriptor, invalidOption, show, textOption } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  copy,
  F_DUPFD_CLOEXEC,
  flags,
  type HostStep,
  hostStep,
  mode,
  named,
  O_CLOEXEC,
  O_RDONLY,
  type Operation,
  Slot,
  type Step,
  slot,
  step,
  tell,
} from '../plan/index.js'

// What one process has to give to another: descriptors on the way in, descriptors
// and values on the way out.

/**
 * A descriptor of this program's for a process that it makes; it must stay open
 * until then. fcntl(2) F_DUPFD_CLOEXEC
 */
export function given(fd: number, result: Slot): HostStep {
  return hostStep(result.name, call('fcntl', [fd, F_DUPFD_CLOEXEC, 10], { result }))
}

/** Something short to do in a process elsewhere, and what comes of it for this program. */
export interface Errand<T> {
  /** Short and lower-case; errors call it so. */
  name: string
  operations: readonly Operation[]
  /** Where they leave a descriptor. */
  result: Slot
  /** Makes what is wanted of it; the descriptor is the function's own, to be closed. */
  take(descriptor: Descriptor): T | Promise<T>
}

/** The steps of an {@link Errand}, and what has come of it when they are done. */
export function errandSteps<T>(errand: Errand<T>): { steps: Step[]; answer(): T } {
  checkErrand(errand)
  let answer: { value: T } | undefined
  const steps: Step[] = [
    step(errand.name, ...errand.operations),
    {
      side: 'waiting',
      name: `${errand.name}: answer`,
      send: errand.result,
      run: async ({ descriptor }) => {
        answer = { value: await errand.take(new Descriptor(descriptor, 'addon')) }
      },
    },
  ]
  return {
    steps,
    answer() {
      if (answer === undefined)
        throw new CofferdamError(`${errand.name}: no answer`, { code: 'ERR_INIT_DIED' })
      return answer.value
    },
  }
}

function checkErrand(errand: unknown): void {
  const { name, operations, result, take } = (errand ?? {}) as Partial<Errand<unknown>>
  const whole = typeof name === 'string' && Array.isArray(operations) && operations.length > 0
  if (!whole || !(result instanceof Slot) || typeof take !== 'function')
    throw invalidOption('errand', 'must be made by openFile() and the like, or have all its parts')
}

/** A number that a system call takes as an int. */
function int(option: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 0x7fffffff)
    throw invalidOption(option, `${show(value)} is no whole number of 32 bits`)
  return value
}

/**
 * Opens a file, as the process has it, and gives the descriptor. openat(2)
 *
 * @param how Flags, those of `fs.constants`.
 * @param permissions Of a file that it makes.
 */
export function openFile(
  path: string,
  how: number = constants.O_RDONLY,
  permissions = 0o600,
): Errand<Descriptor> {
  const [result, file] = [slot('file'), textOption('path', path)]
  const to = flags(named(`${int('how', how)}`, how), O_CLOEXEC)
  const open = call('openat', [AT_FDCWD, file, to, mode(int('permissions', permissions))], {
    result,
  })
  return { name: `open ${file}`, operations: [open], result, take: descriptor => descriptor }
}

/**
 * Makes a socket, which belongs to the network namespace that it is made in, and
 * gives the descriptor. socket(2): numbers as there.
 */
export function openSocket(domain: number, type: number, protocol = 0): Errand<Descriptor> {
  const result = slot('socket')
  const SOCK_CLOEXEC = Number(O_CLOEXEC.value)
  const args = [int('domain', domain), int('type', type) | SOCK_CLOEXEC, int('protocol', protocol)]
  const open = call('socket', args, { result })
  return { name: 'open socket', operations: [open], result, take: descriptor => descriptor }
}

const MFD_CLOEXEC = named('MFD_CLOEXEC', 1)

/** A file in memory that an answer is written to. memfd_create(2) */
function sheet(result: Slot): Operation {
  return call('memfd_create', ['answer', MFD_CLOEXEC], { result })
}

/**
 * Reads a file, as the process sees it, to its end: at most 1 MiB, `EFBIG` beyond.
 * Many files of proc say something else to each reader.
 */
export function readBytes(path: string): Errand<Buffer> {
  const [file, result] = [slot('file'), slot('answer')]
  const from = textOption('path', path)
  return {
    name: `read ${from}`,
    operations: [
      sheet(result),
      call('openat', [AT_FDCWD, from, flags(O_RDONLY, O_CLOEXEC)], { result: file }),
      copy(file, result, 1 << 20),
    ],
    result,
    take: readSheet,
  }
}

/** {@link readBytes} as text in UTF-8. */
export function readText(path: string): Errand<string> {
  return { ...readBytes(path), take: descriptor => readSheet(descriptor).toString() }
}

/**
 * Makes one system call and gives its result. For those whose result is a number and
 * nothing else, as getpid(2).
 */
export function result(operation: Operation): Errand<bigint> {
  if (operation?.call === undefined || !Array.isArray(operation.args))
    throw invalidOption('operation', 'must be a system call, made by plan.call()')
  const answer = slot('answer')
  return {
    name: `${operation.call}`,
    operations: [sheet(answer), operation, tell(answer)],
    result: answer,
    take: descriptor => readSheet(descriptor).readBigInt64LE(),
  }
}

/** What has been written, from its beginning. */
function readSheet(descriptor: Descriptor): Buffer {
  const { fd } = descriptor
  try {
    const bytes = Buffer.alloc(fstatSync(fd).size)
    readSync(fd, bytes, 0, bytes.length, 0)
    return bytes
  } finally {
    descriptor.close()
  }
}
