import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { CofferdamError } from '../base/index.js'
import { stateFolder } from './state.js'

/** Something done on the host that is to be taken back. */
export interface JournalEntry {
  /** Name of the step that did it. */
  step: string
  undo(): void | Promise<void>
  /**
   * The same as data, for a program that finds the journal after this one has
   * been killed. What a caller's own function did has none.
   */
  record?: object
}

/**
 * What a container changed on the host, in the order in which it did. An entry
 * stands here before its change is made. Entries with a record are also
 * written to the container's state folder, which exists only if there are any.
 */
export class Journal {
  readonly #id: string
  #entries: JournalEntry[] = []

  constructor(id: string) {
    this.#id = id
  }

  get empty(): boolean {
    return this.#entries.length === 0
  }

  /** Notes what is about to be done. */
  add(entry: JournalEntry): void {
    this.#entries.push(entry)
    if (entry.record !== undefined) this.#write()
  }

  /**
   * Takes everything back, last things first. Goes on when something fails,
   * and then throws the first error; what failed stays in the journal.
   */
  async rollBack(): Promise<void> {
    const failed: JournalEntry[] = []
    let first: unknown
    for (const entry of [...this.#entries].reverse()) {
      try {
        await entry.undo()
      } catch (error) {
        failed.unshift(entry)
        first ??= new CofferdamError(`undo of ${entry.step} failed`, {
          code: (error as { code?: string }).code ?? 'ERR_HOST_STEP',
          step: entry.step,
          cause: error,
        })
      }
    }
    const written = this.#entries.some(entry => entry.record !== undefined)
    this.#entries = failed
    if (written) {
      if (failed.some(entry => entry.record !== undefined)) this.#write()
      else rmSync(this.#folder(), { recursive: true, force: true })
    }
    if (first !== undefined) throw first
  }

  #folder(): string {
    return `${stateFolder()}/${this.#id}`
  }

  /** By rename, so that the file is whole at every moment. */
  #write(): void {
    const folder = this.#folder()
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const records = this.#entries.flatMap(({ step, record }) =>
      record ? [{ step, ...record }] : [],
    )
    writeFileSync(`${folder}/journal.json.new`, JSON.stringify(records), { mode: 0o600 })
    renameSync(`${folder}/journal.json.new`, `${folder}/journal.json`)
  }
}
