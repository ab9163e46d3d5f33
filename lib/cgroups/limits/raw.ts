import { invalidOption, objectOption, show } from '../../base/index.js'
import { controllerOf } from '../files.js'
import type { LimitTarget } from './target.js'

/** What is written to a file of the group's, or several one after the other. */
export type RawLimits = Record<string, string | number | readonly (string | number)[]>

/** {@link RawLimits}, checked. */
export type CheckedRaw = Record<string, readonly string[]>

// They hold no limits, and are what the group's own methods are for.
const others = [
  'cgroup.procs',
  'cgroup.threads',
  'cgroup.subtree_control',
  'cgroup.kill',
  'cgroup.freeze',
  'cgroup.type',
  'cgroup.event_control',
  'freezer.state',
  'devices.allow',
  'devices.deny',
]

/**
 * Files by their names and what to write to them.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what is no file of a controller's.
 */
export function parseRaw(option: string, value: unknown): CheckedRaw {
  objectOption(option, value)
  const checked: Record<string, readonly string[]> = {}
  for (const [file, content] of Object.entries(value as RawLimits)) {
    if (content === undefined) continue
    const own = `${option}.${file}`
    if (!/^[a-z_]{1,32}\.[\w.]{1,64}$/i.test(file))
      throw invalidOption(own, "is no file of a controller's; 'memory.zswap.max' is one")
    if (others.includes(file)) throw invalidOption(own, 'the group has methods for this one')
    const texts = Array.isArray(content) ? content : [content]
    checked[file] = texts.map(text => {
      if ((typeof text !== 'string' && typeof text !== 'number') || `${text}`.includes('\0'))
        throw invalidOption(own, `${show(text)} is no text`)
      return `${text}`
    })
  }
  return checked
}

/** @throws CofferdamError `ERR_UNSUPPORTED` where there is no such file. */
export function writeRaw(target: LimitTarget, option: string, raw: CheckedRaw): void {
  for (const [file, texts] of Object.entries(raw)) {
    const own = `${option}.${file}`
    const controller = controllerOf(file)
    // Of the unified hierarchy are the files that begin with cgroup.
    const folder = controller === 'cgroup' ? target.unified(own) : target.at(own, [controller])
    for (const text of texts) folder.write(own, file, text)
  }
}
