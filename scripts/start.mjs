// npm start [-- ARGUMENTS]: set-up, then examples/hello.ts; with a program among the
// arguments, examples/shell.ts
import { setup } from './setup.mjs'

setup()
const [first] = process.argv.slice(2)
const example = first === undefined || first === 'explain' ? 'hello' : 'shell'
await import(`../out/examples/${example}.js`)
