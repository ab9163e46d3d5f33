import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { scratch } from './index.js'

/** A shell in a mount namespace of its own, which goes with the test. */
export interface MountNamespace {
  pid: number
  /** An empty folder, the shell's working directory. */
  folder: string
  /** Runs a script there; gives what it printed, or throws when it fails. */
  sh(script: string): Promise<string>
}

export async function mountNamespace(t: Test): Promise<MountNamespace> {
  const folder = scratch(t)
  const shell = spawn('unshare', ['--mount', '--propagation', 'private', 'sh'], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, LC_ALL: 'C' },
  })
  t.teardown(async () => {
    shell.stdin.end()
    if (shell.exitCode === null) await once(shell, 'exit')
  })
  const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]()
  const sh = async (script: string) => {
    shell.stdin.write(`{ ${script}\n} </dev/null\nstatus=$?; echo; echo "done $status"\n`)
    const printed: string[] = []
    for (;;) {
      const { value, done } = await lines.next()
      const end = /^done (\d+)$/.exec(done ? 'done 255' : value)
      if (end === null) printed.push(value)
      else if (end[1] === '0') return printed.slice(0, -1).join('\n')
      else throw new Error(`${script}: exit code ${end[1]}: ${printed.join('\n')}`)
    }
  }
  await sh('true') // it is where it belongs by now
  return { pid: shell.pid as number, folder, sh }
}

/**
 * What findmnt(8) says of the mounts of a process, in these columns: text in
 * which each character is a byte.
 */
export function findmnt(columns: readonly string[], ...args: string[]): string[][] {
  const output = execFileSync('findmnt', ['--raw', '--noheadings', '-o', columns.join(), ...args], {
    encoding: 'latin1',
    env: { ...process.env, LC_ALL: 'C' },
  })
  const decode = (text: string) =>
    text.replace(/\\x([0-9a-f]{2})/g, (_, digits) =>
      String.fromCharCode(Number.parseInt(digits, 16)),
    )
  return output
    .split('\n')
    .slice(0, -1)
    .map(line => line.split(' ').map(decode))
}
