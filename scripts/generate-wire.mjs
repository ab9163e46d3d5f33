// Writes lib/plan/wire.ts from the wire format's C headers, the one place
// where it is defined. With --check it writes nothing and fails when the file
// is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs'

const root = new URL('..', import.meta.url)
const read = path => readFileSync(new URL(path, root), 'utf8')
const wire = read('src-native/core/wire.h').replaceAll('\\\n', '\n')
const names = read('src-native/core/syscall_names.h').replaceAll('\\\n', '\n')

// The X(name, value) lines of one list; the comments behind them come along.
function list(source, macro) {
  const body = source.split(`#define ${macro}(X)`)[1].split(/\n\s*\n/)[0]
  return [...body.matchAll(/X\((\w+)(?:, (\d+))?\)(?:\s*(\/\*[^*]*\*\/))?/g)].map(
    ([, name, value, comment]) => ({ name, value, comment }),
  )
}

function constant(name, macro, about) {
  const rows = list(wire, macro).map(
    ({ name, value, comment }) =>
      `${comment ? `  ${comment.replace('/*', '/**')}\n` : ''}  ${name}: ${value},\n`,
  )
  return `/** ${about} */\nexport const ${name} = {\n${rows.join('')}} as const\n`
}

const defines = [...wire.matchAll(/^#define CF_(\w+) (\w+)(?:\s+\/\* ?(.*?) ?\*\/)?$/gm)].map(
  ([, name, value, comment]) =>
    `${comment ? `/** ${comment} */\n` : ''}export const ${name} = ${value}\n`,
)

const output = `// Generated from src-native/core/wire.h and syscall_names.h by
// scripts/generate-wire.mjs. Change those and run \`npm run generate\`.

${defines.join('')}
${constant('opcodes', 'CF_OPCODES', 'Operations of the core.')}
${constant('requests', 'CF_REQUESTS', 'What a keeper is asked for.')}
${constant('argKinds', 'CF_ARG_KINDS', "How an operation's argument is read.")}
/** System calls that a plan can give by name; any other goes by number. */
export type SyscallName =
${list(names, 'CF_SYSCALL_NAMES')
  .map(({ name }) => `  | '${name}'\n`)
  .join('')}`

const target = new URL('lib/plan/wire.ts', root)
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== output) {
    console.error('lib/plan/wire.ts is out of date: run npm run generate')
    process.exitCode = 1
  }
} else {
  writeFileSync(target, output)
}
