import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type Container, mounts } from 'cofferdam'
import type { Test } from 'tap'
import { runIn, scratch } from './index.js'

/** What is seen of a container that is made, looked at from outside, and then runs a script. */
export interface Sight {
  /** Its mounts, by where they are; of several at one place the uppermost. */
  mounts: Map<string, mounts.MountInfo>
  /** What the script printed, errors included. */
  said: string
}

/** Makes a container, reads its mounts from outside, and runs a shell script in it. */
export async function look(builder: Container, script = 'true'): Promise<Sight> {
  await using box = await builder.create()
  const table = mounts.parseMountInfo(readFileSync(`/proc/${box.pid}/mountinfo`, 'utf8'))
  const { stdout, stderr } = await runIn(box, ['sh', '-c', script])
  return {
    mounts: new Map(table.map(mount => [mount.mountPoint, mount])),
    said: `${stdout}${stderr}`.trim(),
  }
}

/** A root of nothing but the host's programs. */
export const bareRoot = (builder: Container): Container =>
  builder
    .rootfs(mounts.emptyRoot())
    .mount(
      mounts.bind('/usr', '/usr', { readonly: true }),
      ...['bin', 'sbin', 'lib', 'lib64'].map(name => mounts.symlink(`/${name}`, `usr/${name}`)),
    )

/**
 * Runs a program in a mount namespace of its own, after some shell commands in it;
 * `$OWN` is an empty folder. Gives the lines that it printed.
 */
export function inNamespace(t: Test, before: string, body: string): string[] {
  const own = scratch(t)
  const script = `
    import { Container, mounts } from 'cofferdam'
    import { bareRoot, look } from '${new URL('./mounted.js', import.meta.url)}'
    ${body}`
  const commands = `mount --make-rprivate /; ${before}\nexec "$@"`
  const node = [process.execPath, '--input-type=module', '-e', script]
  const printed = execFileSync('unshare', ['--mount', 'sh', '-e', '-c', commands, 'sh', ...node], {
    encoding: 'utf8',
    env: { ...process.env, OWN: own },
    cwd: new URL('../../..', import.meta.url),
    timeout: 40_000,
  })
  return printed.split('\n').slice(0, -1)
}
