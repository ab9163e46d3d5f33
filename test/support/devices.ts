// What the kernel lets a process do with devices, and what rules say of it.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type cgroups, namespaces } from 'cofferdam'
import * as fc from 'fast-check'
import type { Test } from 'tap'

export type Access = cgroups.DeviceAccess
export type Rule = cgroups.DeviceRule

/** The meaning of rules, as their documentation has it: for each kind of access the last decides. */
export function allows(rules: readonly Rule[], { type, major, minor, access }: Access): boolean {
  return [...access].every(letter => {
    let allowed = false
    for (const rule of rules) {
      const { access: of = 'rwm', type: types = 'a' } = rule
      if (types !== 'a' && types !== type) continue
      if (!of.includes(letter)) continue
      if (rule.major !== undefined && rule.major !== null && rule.major !== major) continue
      if (rule.minor !== undefined && rule.minor !== null && rule.minor !== minor) continue
      allowed = rule.allow
    }
    return allowed
  })
}

// The character devices 1:3, 1:5 and 1:7 do no harm; majors 60 and 61 are nobody's.
const majors = { b: [60, 61], c: [1, 60] } as const
const minors = [3, 5, 7]
const letters = ['r', 'w', 'm', 'rw', 'rm', 'wm', 'rwm']

const optional = <T>(values: readonly T[]) =>
  fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 })

/** Rules that often meet. */
export const someRules = fc.array(
  fc
    .record({
      allow: fc.boolean(),
      type: fc.constantFrom('a' as const, 'b' as const, 'c' as const),
      major: optional([1, 60, 61]),
      minor: optional(minors),
      access: fc.constantFrom(...letters),
    })
    .map(
      ({ allow, type, major, minor, access }): Rule => ({
        allow,
        type,
        ...(major === undefined ? {} : { major }),
        ...(minor === undefined ? {} : { minor }),
        access,
      }),
    ),
  { maxLength: 8 },
)

/** Every access to the devices that rules are about, and to some others. */
export const allAccesses = (['b', 'c'] as const).flatMap(type =>
  [...majors[type], 62].flatMap(major =>
    [...minors, 9].flatMap(minor =>
      letters.map((access): Access => ({ type, major, minor, access })),
    ),
  ),
)

/** Those that one system call makes. */
export const askedAccesses = allAccesses.filter(
  ({ type, major, minor, access }) =>
    ['r', 'w', 'rw', 'm'].includes(access) &&
    (majors[type] as readonly number[]).includes(major) &&
    minors.includes(minor),
)

const PYTHON = `
import errno, json, os, stat, sys
os.chdir('/mnt')
kinds = {'b': stat.S_IFBLK, 'c': stat.S_IFCHR}
modes = {'r': os.O_RDONLY, 'w': os.O_WRONLY, 'rw': os.O_RDWR}
def node(a, name):
    os.mknod(name, kinds[a['type']] | 0o666, os.makedev(a['major'], a['minor']))
def name(a):
    return '%s-%d-%d' % (a['type'], a['major'], a['minor'])
def allowed(a):
    try:
        if a['access'] == 'm':
            node(a, 'new')
            os.unlink('new')
        else:
            os.close(os.open(name(a), modes[a['access']] | os.O_NONBLOCK))
    except OSError as error:
        return error.errno != errno.EPERM
    return True
asked = json.loads(sys.stdin.readline())
for a in asked:
    if not os.path.exists(name(a)):
        node(a, name(a))
print('ready', flush=True)
for line in sys.stdin:
    print(json.dumps([allowed(a) for a in asked]), flush=True)
`

/**
 * A process in a group that tries all of {@link askedAccesses}, on nodes that it has made before
 * there were rules; gives what the kernel allows it at the moment.
 */
export async function asker(t: Test, group: { folders: cgroups.GroupFolders['folders'] }) {
  const script = `mount -t tmpfs -o dev none /mnt && cd /mnt && exec python3 -c "$0"`
  const child = await namespaces.spawn(['sh', '-c', script, PYTHON], {
    cgroup: group,
    unshare: ['mount'],
  })
  const ended = child.exited.then(async exit => {
    throw new Error(`${JSON.stringify(exit)}: ${await child.stderr.text()}`)
  })
  ended.catch(() => undefined) // it is to be ended at last
  t.teardown(async () => {
    child.stdin.destroy()
    await child.kill().catch(() => undefined)
    await child.exited
  })
  const lines = createInterface({ input: child.stdout })
  const next = async (line: string) => {
    child.stdin.write(`${line}\n`)
    const [answer] = (await Promise.race([once(lines, 'line'), ended])) as [string]
    return answer
  }
  const ready = await next(JSON.stringify(askedAccesses))
  if (ready !== 'ready') throw new Error(ready)
  return async () => JSON.parse(await next('')) as boolean[]
}
