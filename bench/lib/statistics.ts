/** The value below which `share` of the sorted values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const index = Math.min(sorted.length - 1, Math.floor(share * sorted.length))
  return sorted[index] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The same list, in a random order. */
export function shuffle<T>(list: T[]): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[list[i], list[j]] = [list[j] as T, list[i] as T]
  }
  return list
}

/** One row of a report: what was measured, and what the project promises of it. */
export interface Row {
  name: string
  unit: string
  median: number
  p95?: number
  count?: number
  /** What it is compared with, and how. */
  target?: { text: string; met: boolean }
}

/** Prints rows as a table, or as JSON with `--json`. */
export function report(title: string, rows: readonly Row[]): void {
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify({ title, rows }, null, 2))
    return
  }
  const number = (value: number | undefined) =>
    value === undefined ? '' : value.toLocaleString('en', { maximumSignificantDigits: 4 })
  const cells = rows.map(row => [
    row.name,
    number(row.median),
    number(row.p95),
    row.unit,
    row.target === undefined ? '' : `${row.target.met ? 'met   ' : 'MISSED'} ${row.target.text}`,
  ])
  const head = ['', 'median', '95 %', 'unit', 'target']
  const widths = head.map((text, i) =>
    Math.max(text.length, ...cells.map(row => row[i]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) =>
        i === 1 || i === 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd()
  console.log(`\n${title}\n`)
  for (const row of [head, ...cells]) console.log(line(row))
}
