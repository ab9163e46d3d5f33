import type { LimitTarget } from './target.js'

/** Where a kind of limits is kept. */
interface LimitSource {
  /** Names of the controller: v2's, then v1's. */
  controllers: readonly [string, ...string[]]
  /** Its files that are read. */
  files(version: 1 | 2): readonly string[]
}

/** The text of a file of the group; undefined when there is no such file. */
type Told = (file: string) => string | undefined

/** One controller's limits: from options to files, and back. */
export interface LimitKind<Checked> {
  sources: readonly LimitSource[]
  /**
   * The normal form: numbers as the kernel keeps them.
   *
   * @throws CofferdamError `ERR_INVALID_OPTION` or `ERR_CONFLICT`, naming the option.
   */
  parse(option: string, value: unknown): Checked
  /**
   * In an order that the kernel takes. `present` is what holds now; without it the
   * group is a new one.
   *
   * @throws CofferdamError `ERR_UNSUPPORTED` for what this host has not.
   */
  write(
    target: LimitTarget,
    option: string,
    limits: Checked,
    present: Partial<Checked> | undefined,
  ): void
  /** What the files say; never throws. `version` is the controller's. */
  read(told: Told, version: 1 | 2): Checked | undefined
}

/** Without the keys that are undefined; undefined when none is left. */
export function known<T extends object>(
  values: { [K in keyof T]: T[K] | undefined },
): T | undefined {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as T)
}
