// The package's install script: nothing to do where a prebuilt addon loads on
// this machine; otherwise it is built. npm_config_build_from_source insists.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { nodeHeaders } from './headers.mjs'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('..', import.meta.url))

function loads() {
  if (process.env.npm_config_build_from_source) return false
  try {
    require('node-gyp-build')(root)
    return true
  } catch {
    return false
  }
}

if (process.platform !== 'linux') {
  console.warn('cofferdam: nothing to build here; containers need Linux')
} else if (!loads()) {
  const { status } = spawnSync(process.execPath, [require.resolve('node-gyp-build/bin.js')], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...nodeHeaders() },
  })
  process.exitCode = status ?? 1
}
