import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { needsContainers, needsRoot, until } from './support/index.js'

const shell = fileURLToPath(new URL('../examples/shell.js', import.meta.url))

/** What somebody at a terminal would see and do; script(1) makes the terminal. */
function atTerminal(prefix: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const command = [...prefix, process.execPath, shell].join(' ')
  const script = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...env, SHELL: '/bin/sh' },
  })
  let shown = ''
  for (const stream of [script.stdout, script.stderr])
    stream.on('data', chunk => {
      shown += chunk
    })
  const press = async (keys: string, pattern: RegExp) => {
    shown = ''
    script.stdin.write(keys)
    if (!(await until(() => pattern.test(shown))))
      throw new Error(`not shown: ${pattern}: ${shown}`)
    return shown
  }
  return { script, press, seen: (pattern: RegExp) => until(() => pattern.test(shown)) }
}

/** The terminal of the example that this script(1) runs. */
function terminalOf(script: ChildProcess): string {
  const parents = new Set([script.pid])
  for (let grown = true; grown; ) {
    grown = false
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry) || parents.has(Number(entry))) continue
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'latin1')
        if (!parents.has(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))) continue
        parents.add(Number(entry))
        grown = true
        const terminal = readlinkSync(`/proc/${entry}/fd/0`)
        if (terminal.startsWith('/dev/pts/')) return terminal
      } catch {
        // It has ended.
      }
    }
  }
  throw new Error('it has no terminal')
}

async function use(prefix: readonly string[], env?: NodeJS.ProcessEnv): Promise<number> {
  const { script, press, seen } = atTerminal(prefix, env)
  if (!(await seen(/hello:\/# $/))) throw new Error('no prompt')
  await press('id -u; tty\n', /0\s+\/dev\/pts\/0/)
  spawnSync('stty', ['-F', terminalOf(script), 'rows', '33', 'columns', '101'])
  await press('stty size\n', /33 101/)
  await press('sleep 1000\n', /sleep 1000/)
  await press('\x1a', /Stopped/)
  await press('jobs; fg\n', /Stopped.*sleep 1000\s+sleep 1000/s)
  await press('\x03', /# $/)
  script.stdin.write('exit 7\n')
  const [code] = (await once(script, 'exit')) as [number]
  return code
}

t.test('a shell on a terminal: its size, Ctrl-Z and Ctrl-C reach it', needsContainers, async t => {
  t.equal(await use([]), 7)
})

t.test('of an ordinary user', needsRoot, async t => {
  const prefix = ['setpriv', '--reuid=61234', '--regid=61235', '--clear-groups']
  t.equal(await use(prefix, { PATH: process.env.PATH, HOME: '/' }), 7)
})
