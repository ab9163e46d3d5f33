import { type FileWrite, readFiles, writeFiles } from '../files.js'

/** What takes a line of such a file away, by the file's name; `KEY` is the line's first word. */
const withoutLine: readonly (readonly [file: RegExp, value: string])[] = [
  [/\/io\.max$/, 'KEY rbps=max wbps=max riops=max wiops=max'],
  [/\/blkio\.throttle\.\w+$/, 'KEY 0'],
  [/\/io\.latency$/, 'KEY target=0'],
  [/\/io\.weight$/, 'KEY default'],
  [/\/(io\.bfq\.weight|blkio\.(bfq\.)?weight_device)$/, 'KEY 0'],
]

/** What `cpu.idle` changes as well. */
const weights = ['cpu.weight', 'cpu.shares']

/**
 * What sets files back, found before they are written: in the opposite order, so that
 * every state on the way is one that has been there before.
 */
export async function undoOf(writes: readonly FileWrite[]): Promise<FileWrite[]> {
  const all = writes.flatMap(write =>
    write.path.endsWith('/cpu.idle')
      ? [...weights.map(file => ({ ...write, path: write.path.replace('cpu.idle', file) })), write]
      : [write],
  )
  const texts = await readFiles(all.map(({ path }) => path)).catch(() => [])
  return all
    .flatMap((write, i) => {
      const value = before(write, texts[i])
      return value === undefined ? [] : [{ ...write, value }]
    })
    .reverse()
}

/** The value that a file, or the line of it that a write is about, had. */
function before({ path, value }: FileWrite, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const own = /\/memory\.oom_control$/.test(path)
    ? /^oom_kill_disable (\d)/.exec(text)?.[1]
    : undefined
  if (own !== undefined) return own
  // As 'root invalid (…)'.
  if (path.endsWith('.partition')) return text.split(' ')[0]?.trim()
  const [key = '', second] = value.trim().split(' ')
  const lines = text.trimEnd().split('\n')
  const remover = withoutLine.find(([file]) => file.test(path))?.[1]
  const line = lines.find(each => each.startsWith(`${key} `))
  if (second !== undefined && line !== undefined) return line
  if (second !== undefined && remover !== undefined) return remover.replace('KEY', key)
  // A weight alone is the one that lines begin with 'default'.
  const first = lines[0] ?? ''
  return lines.length > 1 && !first.startsWith('default ') ? undefined : first || '\n'
}

/** Best effort: what led here may be in the way again. */
export async function undo(writes: readonly FileWrite[]): Promise<void> {
  for (const write of writes) await writeFiles([write]).catch(() => undefined)
}
