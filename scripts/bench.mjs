// npm run bench [-- NAME] [OPTIONS]: set-up, then bench/NAME.bench.ts, or all
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setup } from './setup.mjs'

setup()
const folder = fileURLToPath(new URL('../out/bench/', import.meta.url))
const known = readdirSync(folder)
  .filter(file => file.endsWith('.bench.js'))
  .map(file => file.slice(0, -'.bench.js'.length))
const names = process.argv.slice(2).filter(argument => !argument.startsWith('-'))
const options = process.argv.slice(2).filter(argument => argument.startsWith('-'))
for (const name of names.length > 0 ? names : known) {
  if (!known.includes(name)) {
    console.error(`there is no benchmark ${name}; there are ${known.join(', ')}`)
    process.exit(2)
  }
  const { status } = spawnSync(
    process.execPath,
    ['--expose-gc', `${folder}${name}.bench.js`, ...options],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
