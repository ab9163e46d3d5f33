// Where node-gyp finds Node's headers without downloading them: beside the
// running node, where distributions keep them.
import { existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Environment for node-gyp; empty where it has to find them by itself. */
export function nodeHeaders() {
  if (process.env.npm_config_nodedir) return {}
  const prefix = dirname(dirname(process.execPath))
  const file = `${prefix}/include/node/node_version.h`
  if (!existsSync(file)) return {}
  const text = readFileSync(file, 'utf8')
  const version = ['MAJOR', 'MINOR', 'PATCH']
    .map(part => new RegExp(`#define NODE_${part}_VERSION (\\d+)`).exec(text)?.[1])
    .join('.')
  return version === process.versions.node ? { npm_config_nodedir: prefix } : {}
}
