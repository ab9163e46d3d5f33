import { conflict, integerOption, keyOption, onlyKeys } from '../base/index.js'
import { call, type InitStep, named, step } from '../plan/index.js'

const ioClasses = {
  'real-time': named('IOPRIO_CLASS_RT', 1),
  'best-effort': named('IOPRIO_CLASS_BE', 2),
  idle: named('IOPRIO_CLASS_IDLE', 3),
} as const

/** When the I/O scheduler of a disk serves a process; ioprio_set(2). */
export type IoPriorityOptions =
  | { class: 'real-time' | 'best-effort' /** 0, the highest, to 7. Default: 4. */; level?: number }
  | { class: 'idle' }

/** {@link IoPriorityOptions}, checked. */
export interface IoPriority {
  class: keyof typeof ioClasses
  level: number
}

/** @throws CofferdamError `ERR_INVALID_OPTION`, as for `ioPriority.level`. */
export function parseIoPriority(options: IoPriorityOptions): IoPriority {
  onlyKeys('ioPriority', options, ['class', 'level'])
  const { class: kind, level } = options as { class: IoPriority['class']; level?: number }
  keyOption('ioPriority.class', kind, ioClasses)
  if (kind === 'idle') {
    if (level !== undefined && level !== 0)
      throw conflict('ioPriority.level', "means nothing to the class 'idle'")
    return { class: kind, level: 0 }
  }
  return {
    class: kind,
    level: level === undefined ? 4 : integerOption('ioPriority.level', level, 0, 7),
  }
}

/**
 * ioprio_set(2); `EPERM` for `'real-time'` without CAP_SYS_NICE in the first user
 * namespace. Equivalent to: `ionice --class CLASS --classdata LEVEL`
 */
export function ioPriorityStep({ class: kind, level }: IoPriority): InitStep {
  const { text, value } = ioClasses[kind]
  const priority = named(`IOPRIO_PRIO_VALUE(${text}, ${level})`, (Number(value) << 13) | level)
  return step('I/O priority', call('ioprio_set', [named('IOPRIO_WHO_PROCESS', 1), 0, priority]))
}
