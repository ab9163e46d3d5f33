// What is mounted where, as a process sees it:
//   node out/examples/mounts.js [PID] [--json] [--watch]
//
// A tree, since each mount is on another one. With --watch it goes on to tell of
// what changes, until it is interrupted.
import { parseArgs } from 'node:util'
import { CofferdamError, mounts } from 'cofferdam'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, watch: { type: 'boolean' } },
})
const whose = positionals[0] === undefined ? 'self' : Number(positionals[0])

/** No name may move the cursor, or be taken for two lines. */
const visible = (text: string) => text.replace(/[\x00-\x1f\x7f-\x9f\ud800-\udfff]/gu, '?')

/** With whom mounts and unmounts are shared; mount_namespaces(7). */
function propagation({ shared, master, unbindable }: mounts.Propagation): string {
  return [
    shared === undefined ? '' : `shared:${shared}`,
    master === undefined ? '' : `master:${master}`,
    unbindable ? 'unbindable' : '',
  ]
    .filter(Boolean)
    .join(' ')
}

function rows(trees: mounts.MountTree[], margin = ''): string[][] {
  return trees.flatMap(({ mount, children }, i) => {
    const last = i === trees.length - 1
    const top = mount.mountPoint === '/' && margin === ''
    const { source, fsType, options } = mount
    const name = top ? '/' : `${margin}${last ? '└─' : '├─'}${mount.mountPoint}`
    const row = [name, source, fsType, options, propagation(mount.propagation)].map(visible)
    return [row, ...rows(children, top ? '' : `${margin}${last ? '  ' : '│ '}`)]
  })
}

function print(table: string[][]): void {
  const widths = [0, 1, 2, 3].map(i => Math.max(...table.map(row => row[i]?.length ?? 0)))
  for (const row of table)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}

function describe(change: mounts.MountChange): string {
  const { type, mount } = change
  if (type === 'moved') return `moved ${change.before.mountPoint} to ${mount.mountPoint}`
  const now = type === 'unmounted' ? '' : ` ${mount.options} ${propagation(mount.propagation)}`
  return `${type} ${mount.mountPoint} (${mount.fsType} ${mount.source})${now}`
}

try {
  const interrupt = new AbortController()
  // Before the first look, so that nothing is lost in between.
  const watch = values.watch
    ? mounts.watch({ process: whose, signal: interrupt.signal })
    : undefined
  const trees = mounts.tree(watch === undefined ? await mounts.list(whose) : [...watch.mounts])
  if (values.json) console.log(JSON.stringify(trees, null, 2))
  else print([['TARGET', 'SOURCE', 'TYPE', 'OPTIONS', 'PROPAGATION'], ...rows(trees)])
  if (values.watch) process.once('SIGINT', () => interrupt.abort())
  for await (const change of watch ?? [])
    console.log(values.json ? JSON.stringify(change) : visible(describe(change)))
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
