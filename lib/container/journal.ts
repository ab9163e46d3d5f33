import { CofferdamError } from '../base/index.js'
import type { StateFolder } from './state.js'

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

const FILE = 'journal.json'

/**
 * What a container changed on the host, in the order in which it did. An entry
 * stands here before its change is made. Entries with a record are also
 * written to the container's state folder.
 */
export class Journal {
  readonly #folder: () => StateFolder
  #entries: JournalEntry[] = []

  /** @param folder Gives the state folder, when there is something to write. */
  constructor(folder: () => StateFolder) {
    this.#folder = folder
  }

  /** The journal of a container that another program has made. */
  static load(
    folder: StateFolder,
    entryOf: (record: { step: string } & object) => JournalEntry,
  ): Journal {
    const journal = new Journal(() => folder)
    journal.#entries = (folder.read<({ step: string } & object)[]>(FILE) ?? []).map(entryOf)
    return journal
  }

  get empty(): boolean {
    return this.#entries.length === 0
  }

  /** Notes what is about to be done. */
  add(entry: JournalEntry): void {
    this.#entries.push(entry)
    if (entry.record !== undefined) this.#write()
  }

  /** An entry's record says more than it did. */
  recorded(): void {
    this.#write()
  }

  /** What was noted has not been done after all. */
  forget(entry: JournalEntry): void {
    this.#entries = this.#entries.filter(other => other !== entry)
    if (entry.record !== undefined) this.#write()
  }

  /** The records of what is in it. */
  get records(): readonly object[] {
    return this.#entries.flatMap(({ record }) => record ?? [])
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
        first ??= undoError(entry.step, error)
      }
    }
    const written = this.#entries.some(entry => entry.record !== undefined)
    this.#entries = failed
    if (written) this.#write()
    if (first !== undefined) throw first
  }

  #write(): void {
    const records = this.#entries.flatMap(({ step, record }) =>
      record ? [{ step, ...record }] : [],
    )
    this.#folder().write(FILE, records)
  }
}

/** What is known of the error is what somebody needs who wants to remove its cause. */
function undoError(step: string, error: unknown): CofferdamError {
  const { code = 'ERR_HOST_STEP', message } = error as CofferdamError
  const known = error instanceof CofferdamError ? error : undefined
  const said = known?.hint === undefined ? message : message.replace(` (${known.hint})`, '')
  return new CofferdamError(`undo of ${step} failed${said ? `: ${said}` : ''}`, {
    code,
    step,
    errno: known?.errno,
    syscall: known?.syscall,
    path: known?.path,
    controller: known?.controller,
    hint: known?.hint,
    cause: error,
  })
}
