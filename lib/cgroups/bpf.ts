import { closeSync, constants, openSync } from 'node:fs'
import { CofferdamError, native, nativeError } from '../base/index.js'
import { DEVICES_HINT } from '../run/index.js'
import { groupError } from './files.js'

// Programs of the kernel's that decide over devices, and the groups that they are attached
// to; bpf(2).

/** By this name this package knows its own again. */
const NAME = 'cofferdam_dev'

/** A program that the kernel has looked through. It is closed when nobody refers to it any more. */
export class Program {
  constructor(readonly fd: number) {}
}

/** As many of those that were used last are kept, whoever refers to them. */
const MOST_KEPT = 8

const kept = new Map<string, Program>()
const loaded = new Map<string, WeakRef<Program>>()
const unused = new FinalizationRegistry<[key: string, fd: number]>(([key, fd]) => {
  if (loaded.get(key)?.deref() === undefined) loaded.delete(key)
  native().close(fd)
})

/**
 * The program that these instructions are: loaded once for any number of groups.
 *
 * @throws CofferdamError `EPERM` for who may load none.
 */
export function loadProgram(instructions: Buffer): Program {
  const key = instructions.toString('latin1')
  const program = loaded.get(key)?.deref() ?? load(instructions, key)
  kept.delete(key)
  kept.set(key, program)
  const [oldest] = kept.keys()
  if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest)
  return program
}

function load(instructions: Buffer, key: string): Program {
  let fd: number
  try {
    fd = native().bpfLoad(instructions, NAME)
  } catch (error) {
    throw bpfError('load', undefined, error)
  }
  native().keep(fd) // until the end of this thread
  const program = new Program(fd)
  loaded.set(key, new WeakRef(program))
  unused.register(program, [key, fd])
  return program
}

/** A program that is attached to a group. */
export interface Attached {
  number: number
  /** Empty when this program may not see them. */
  instructions: Buffer
}

/**
 * The one of this package's that is attached to a group itself, not to one above.
 *
 * @throws CofferdamError `EPERM` for who may not look.
 */
export function attachedProgram(folder: string): Attached | undefined {
  return onGroup('query', folder, group => own(group))
}

/**
 * Attaches a program to a group, in the place of the one of this package's that is there, or
 * detaches that: at no moment is there none or are there two. Other programs stay as they are;
 * what one of them refuses is refused.
 */
export function exchangeProgram(folder: string, program: Program | undefined): void {
  onGroup('attach', folder, group => {
    const before = own(group, (number, attached) => {
      if (program === undefined) native().bpfDetach(group, attached)
      else if (native().bpfInfo(program.fd)[0] !== number)
        native().bpfAttach(group, program.fd, attached)
    })
    if (before === undefined && program !== undefined) native().bpfAttach(group, program.fd, -1)
  })
}

/** The same for a new group, which has none. */
export function attachFirst(folder: string, program: Program): void {
  onGroup('attach', folder, group => native().bpfAttach(group, program.fd, -1))
}

/** This package's program of a group, and what is done with a descriptor of it. */
function own(group: number, use?: (number: number, program: number) => void): Attached | undefined {
  for (const number of native().bpfQuery(group)) {
    let program: number
    try {
      program = native().bpfOpen(number)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).errno === ENOENT) continue // it has gone meanwhile
      throw error
    }
    try {
      const [, name, instructions] = native().bpfInfo(program)
      if (name !== NAME) continue
      use?.(number, program)
      return { number, instructions }
    } finally {
      native().close(program)
    }
  }
  return undefined
}

const ENOENT = 2

function onGroup<T>(what: string, folder: string, use: (group: number) => T): T {
  let group: number
  try {
    group = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    throw groupError('open', folder, error)
  }
  try {
    return use(group)
  } catch (error) {
    throw bpfError(what, folder, error)
  } finally {
    closeSync(group)
  }
}

const remedies: Record<string, string> = {
  EPERM: DEVICES_HINT,
  ENOSYS: 'this kernel is built without CONFIG_BPF_SYSCALL',
  EINVAL: 'this kernel is older than 4.15 or built without CONFIG_CGROUP_BPF',
  E2BIG: 'as many programs as there can be are attached to the group, 64',
}

function bpfError(what: string, path: string | undefined, cause: unknown): CofferdamError {
  const { code, errno } = nativeError('bpf', cause) as CofferdamError
  const where = path === undefined ? '' : ` ${path}`
  return new CofferdamError(`devices: bpf ${what}${where}: ${code}`, {
    code: code ?? 'EIO',
    errno,
    syscall: 'bpf',
    path,
    controller: 'devices',
    hint: remedies[code],
    cause,
  })
}
