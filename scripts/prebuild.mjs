// npm run prebuild: builds the addon for this platform into prebuilds/, as it
// is published. Node-API, so that one build serves every version of Node.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { nodeHeaders } from './headers.mjs'

const require = createRequire(import.meta.url)
const headers = nodeHeaders()
const args = ['--napi', '--strip', '--tag-libc', ...process.argv.slice(2)]
const { status } = spawnSync(process.execPath, [require.resolve('prebuildify/bin.js'), ...args], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  env: { ...process.env, ...headers },
})
process.exitCode = status ?? 1
