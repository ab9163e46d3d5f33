// The package's install script: uses the prebuilt addon where there is one for
// this machine, and otherwise builds it.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { nodeHeaders } from './headers.mjs'

if (process.platform === 'linux') {
  const require = createRequire(import.meta.url)
  const env = { ...process.env, ...nodeHeaders() }
  const { status } = spawnSync(process.execPath, [require.resolve('node-gyp-build/bin.js')], {
    stdio: 'inherit',
    env,
  })
  process.exitCode = status ?? 1
} else {
  console.warn('cofferdam: nothing to build here; containers need Linux')
}
