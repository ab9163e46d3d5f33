import { closeSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import {
  CofferdamError,
  type Duration,
  invalidOption,
  onlyKeys,
  parseDuration,
  show,
} from '../../base/index.js'
import type { GroupFolder } from '../folders.js'
import { openFile } from '../open-file.js'
import { noPressure, type PressureResource } from '../stats/stats.js'
import type { EventSource, Watcher } from './source.js'
import type { GroupEvent } from './types.js'

/** When pressure is told of: at most once in each window. */
export interface PressureTrigger {
  resource: PressureResource
  /** `'some'`: one at least had to wait; `'full'`: all. Default: `'some'`, of `'irq'` `'full'`. */
  kind?: 'some' | 'full'
  /** So long within a window. */
  stall: Duration
  /**
   * From 500 ms to 10 s; without CAP_SYS_RESOURCE a multiple of 2 s, and Linux 6.5.
   * Default: 2 s.
   */
  window?: Duration
}

/** A trigger that has been looked at. */
export interface CheckedTrigger {
  trigger: PressureTrigger
  file: string
  /** What the kernel wants to be told. */
  text: string
}

const resources: readonly unknown[] = ['cpu', 'memory', 'io', 'irq']
const [SHORTEST, LONGEST] = [500, 10_000]

/** @throws CofferdamError `ERR_INVALID_OPTION` */
export function triggersOption(option: string, triggers: unknown): CheckedTrigger[] {
  if (triggers === undefined) return []
  if (!Array.isArray(triggers)) throw invalidOption(option, `${show(triggers)} is no list`)
  return triggers.map((trigger, i) => checkTrigger(`${option}[${i}]`, trigger))
}

function checkTrigger(option: string, trigger: PressureTrigger): CheckedTrigger {
  onlyKeys(option, trigger, ['resource', 'kind', 'stall', 'window'])
  const { resource, kind = resource === 'irq' ? 'full' : 'some' } = trigger
  if (!resources.includes(resource))
    throw invalidOption(
      `${option}.resource`,
      `${show(resource)} is none of ${resources.join(', ')}`,
    )
  if (kind !== 'some' && kind !== 'full')
    throw invalidOption(`${option}.kind`, `${show(kind)} is neither some nor full`)
  const window = parseDuration(`${option}.window`, trigger.window ?? '2s')
  if (window < SHORTEST || window > LONGEST)
    throw invalidOption(`${option}.window`, `${show(trigger.window)} is not from 500 ms to 10 s`)
  const stall = parseDuration(`${option}.stall`, trigger.stall)
  const [stallTime, windowTime] = [Math.round(stall * 1000), Math.round(window * 1000)]
  if (stallTime < 1 || stallTime > windowTime)
    throw invalidOption(
      `${option}.stall`,
      `${show(trigger.stall)} is nothing, or more than a window`,
    )
  return {
    trigger: { ...trigger },
    file: `${resource}.pressure`,
    text: `${kind} ${stallTime} ${windowTime}`,
  }
}

/** A trigger that the kernel has been given; it tells of it until it is closed. */
export class PressureEvents implements EventSource {
  readonly polled = false
  readonly #trigger: PressureTrigger
  #fired = 0

  /** @throws CofferdamError `ERR_UNSUPPORTED`, or what the kernel has against it. */
  constructor(watcher: Watcher, folder: GroupFolder, { trigger, file, text }: CheckedTrigger) {
    this.#trigger = trigger
    const path = join(folder.path, file)
    const fd = openFile(path, 'r+')
    if (fd === undefined) throw noPressure(path, folder)
    try {
      writeSync(fd, text)
      let told = 0
      // The first time comes from the registration.
      watcher.watch(fd, () => {
        if (told++ > 0) this.#fired++
      })
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      if (syscall !== 'write') throw error
      throw code === 'EOPNOTSUPP' ? noPressure(path, folder) : refused(path, text, error)
    } finally {
      closeSync(fd)
    }
  }

  look(): readonly GroupEvent[] {
    const fired = this.#fired
    this.#fired = 0
    return Array.from({ length: fired }, () => ({ type: 'pressure', trigger: this.#trigger }))
  }
}

function refused(path: string, text: string, error: unknown): CofferdamError {
  const { code = 'EIO', errno } = error as NodeJS.ErrnoException
  return new CofferdamError(`${path}: ${JSON.stringify(text)}: ${code}`, {
    code,
    errno: Math.abs(errno ?? 0),
    syscall: 'write',
    path,
    controller: 'cgroup',
    hint:
      code === 'EINVAL' || code === 'EPERM'
        ? 'without CAP_SYS_RESOURCE a window has to be a multiple of 2s'
        : undefined,
    cause: error,
  })
}
