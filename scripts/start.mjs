// npm start [-- ARGUMENTS]: set-up, then examples/hello.ts
import { setup } from './setup.mjs'

setup()
await import('../out/examples/hello.js')
