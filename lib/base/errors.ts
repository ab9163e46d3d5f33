import { constants } from 'node:os'

/** What a {@link CofferdamError} carries besides its message. */
export interface ErrorDetails {
  /**
   * An errno name (`ENOENT`), or one of this package's own: `ERR_INVALID_OPTION`,
   * `ERR_CONFLICT`, `ERR_UNSUPPORTED`, `ERR_STATE`, `ERR_INIT_DIED`,
   * `ERR_HOST_STEP`, `ERR_HOOK`, `ERR_ARCHIVE`, `ERR_MALFORMED`, `ERR_INTERRUPTED`,
   * `ABORT_ERR`.
   */
  code: string
  /** Kernel's number of the error, where there is one. */
  errno?: number | undefined
  /** Name of the system call that failed. */
  syscall?: string | undefined
  /** Name of the step of the plan that failed. */
  step?: string | undefined
  /** The failed operation as `explain()` prints it. */
  operation?: string | undefined
  /** Path that the failed operation was about. */
  path?: string | undefined
  /** Controller of control groups whose file `path` is, as `memory`; `cgroup` for those of all groups. */
  controller?: string | undefined
  /** Attribute of a netlink message that it was about, as `IFLA_LINKINFO.IFLA_INFO_KIND`. */
  attribute?: string | undefined
  /** Option that was refused, as `limits.memory`. */
  option?: string | undefined
  /** What experience says about it: the usual cause, and what to do. */
  hint?: string | undefined
  cause?: unknown
}

/**
 * The one family of errors that this package throws. Everything that a program
 * could want to act on is a property; the message is for people.
 */
export class CofferdamError extends Error {
  override readonly name: string = 'CofferdamError'
  readonly code: string
  readonly errno?: number | undefined
  readonly syscall?: string | undefined
  readonly step?: string | undefined
  readonly operation?: string | undefined
  readonly path?: string | undefined
  readonly controller?: string | undefined
  readonly attribute?: string | undefined
  readonly option?: string | undefined
  readonly hint?: string | undefined

  constructor(message: string, details: ErrorDetails) {
    super(details.hint === undefined ? message : `${message} (${details.hint})`, {
      cause: details.cause,
    })
    this.code = details.code
    this.errno = details.errno
    this.syscall = details.syscall
    this.step = details.step
    this.operation = details.operation
    this.path = details.path
    this.controller = details.controller
    this.attribute = details.attribute
    this.option = details.option
    this.hint = details.hint
  }
}

/** An option that can't be right. Thrown before anything is done. */
export function invalidOption(option: string, problem: string): CofferdamError {
  return new CofferdamError(`${option}: ${problem}`, { code: 'ERR_INVALID_OPTION', option })
}

/** Options that contradict one another. Thrown before anything is done. */
export function conflict(option: string, problem: string): CofferdamError {
  return new CofferdamError(`${option}: ${problem}`, { code: 'ERR_CONFLICT', option })
}

const errnoNames = new Map<number, string>()
for (const [name, number] of Object.entries(constants.errno))
  if (!errnoNames.has(number)) errnoNames.set(number, name)
// Linux calls it by this name, of two; errno(3)
errnoNames.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP')
// Node does not know these; asm-generic/errno.h
for (const [number, name] of [
  [85, 'ERESTART'],
  [94, 'ESOCKTNOSUPPORT'],
  [117, 'EUCLEAN'],
  [123, 'ENOMEDIUM'],
  [126, 'ENOKEY'],
  [127, 'EKEYEXPIRED'],
  [128, 'EKEYREVOKED'],
  [129, 'EKEYREJECTED'],
] as const)
  if (!errnoNames.has(number)) errnoNames.set(number, name)

/** `ENOENT` for 2. A number that has no name is printed as itself. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`
}
