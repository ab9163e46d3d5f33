import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CofferdamError } from '../../base/index.js'
import type { FileWrite } from '../files.js'
import { folderOf, type GroupFolder, type GroupFolders, unifiedOf } from '../folders.js'

/** Files that were seen in some group: what one has, others of the hierarchy have too. */
const seen = new Set<string>()

/** A limit that this host can't set. Thrown before anything is written. */
export function unsupported(
  option: string,
  controller: string,
  problem: string,
  hint?: string,
): CofferdamError {
  return new CofferdamError(`${option}: ${problem}`, {
    code: 'ERR_UNSUPPORTED',
    option,
    controller,
    hint,
  })
}

/** Collects what is to be written to a group. */
export class LimitTarget {
  readonly writes: FileWrite[] = []
  /** Whether the group is not there yet, and a file was asked for that no other one had. */
  guesses = false
  readonly #group: GroupFolders

  constructor(group: GroupFolders) {
    this.#group = group
  }

  /** The group that all others are below: it has few of their files. */
  get topmost(): boolean {
    return this.#group.path === '/'
  }

  /**
   * Where the controller is, by the first of its names that is found: v2's, then v1's.
   *
   * @throws CofferdamError `ERR_UNSUPPORTED`.
   */
  at(option: string, names: readonly [string, ...string[]], hint?: string): LimitFolder {
    for (const name of names) {
      const folder = folderOf(this.#group, name)
      if (folder !== undefined) return new LimitFolder(this, folder, name)
    }
    const name = names[0]
    throw unsupported(
      option,
      name,
      `the ${name} controller is not available to the group ${this.#group.path}`,
      hint ?? `v2: +${name} in cgroup.subtree_control of the groups above; v1: mount it`,
    )
  }

  /** The folder of the unified hierarchy, for the files that begin with cgroup. */
  unified(option: string): LimitFolder {
    const folder = unifiedOf(this.#group)
    if (folder === undefined)
      throw unsupported(option, 'cgroup', 'there is no unified hierarchy (v2) here')
    return new LimitFolder(this, folder, 'cgroup')
  }
}

/** Files of one controller: what there is, and what shall be written. */
export class LimitFolder {
  readonly version: 1 | 2
  readonly path: string
  readonly controller: string
  readonly #target: LimitTarget

  constructor(target: LimitTarget, folder: GroupFolder, controller: string) {
    this.#target = target
    this.version = folder.version
    this.path = folder.path
    this.controller = controller
  }

  /** Whether the group has such a file, or will have when it is made. */
  has(file: string): boolean {
    const key = `${this.version}:${file}`
    if (seen.has(key) && !this.#target.topmost) return true
    if (existsSync(join(this.path, file))) {
      if (!this.#target.topmost) seen.add(key)
      return true
    }
    if (!existsSync(this.path)) this.#target.guesses = true
    return false
  }

  /**
   * @throws CofferdamError `ERR_UNSUPPORTED` if there is no such file; `hint` says what
   * else could be done.
   */
  write(option: string, file: string, value: string | number, hint?: string): void {
    if (!this.has(file)) throw this.missing(option, file, hint)
    const path = `${this.path}/${file}`
    this.#target.writes.push({ path, value: `${value}`, controller: this.controller })
  }

  missing(option: string, file: string, hint?: string): CofferdamError {
    if (this.#target.topmost)
      return unsupported(
        option,
        this.controller,
        `the topmost group has no ${file} (v${this.version})`,
        'make a group below it: there it can be limited',
      )
    const problem = `this kernel's ${this.controller} controller (v${this.version}) has no ${file}`
    return unsupported(option, this.controller, problem, hint)
  }

  /** @throws CofferdamError `ERR_UNSUPPORTED` where the controller is of the other version. */
  onlyIn(version: 1 | 2, option: string, hint?: string): void {
    if (this.version === version) return
    const problem = `only v${version} has this, and the ${this.controller} controller is v${this.version} here`
    throw unsupported(option, this.controller, problem, hint)
  }
}
