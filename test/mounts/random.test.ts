// Sequences of mounts made up at random give the same tree as the same sequence of
// mount(8) commands.
import { readFileSync } from 'node:fs'
import { mounts } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot } from '../support/index.js'
import { type MountNamespace, mountNamespace } from '../support/mount-namespace.js'

/** One thing to do, in both languages. */
interface Action {
  at: string
  mount(folder: string): mounts.Mount
  command(folder: string): string
}

const places = ['a', 'a/x', 'b', 'b/y', 'b/y/z', 'c']
const place = fc.constantFrom(...places)
const kept = { nosuid: 'keep', nodev: 'keep', submounts: 'keep' } as const

const changes: [mounts.Attributes, string][] = [
  [{ readonly: true }, 'ro'],
  [{ readonly: false }, 'rw'],
  [{ noexec: true }, 'noexec'],
  [{ noexec: false, nosuid: true }, 'exec,nosuid'],
  [{ atime: 'noatime' }, 'noatime'],
  [{ nodiratime: true, nosymfollow: true }, 'nodiratime,nosymfollow'],
]

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: place.map(at => ({
      at,
      mount: (folder: string) => mounts.tmpfs(`${folder}/${at}`, { mode: 0o755, size: 65536 }),
      command: (folder: string) =>
        `mkdir -p ${folder}/${at} && mount -t tmpfs -o nosuid,nodev,noexec,mode=755,size=65536 tmpfs ${folder}/${at}`,
    })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(place, place, fc.boolean(), fc.constantFrom(undefined, ...changes))
      .map(([from, at, recursive, change]) => ({
        at,
        mount: (folder: string) =>
          mounts.bind(`${folder}/${from}`, `${folder}/${at}`, {
            ...kept,
            recursive,
            ...change?.[0],
          }),
        command: (folder: string) =>
          `[ -d ${folder}/${from} ] && mkdir -p ${folder}/${at} && mount --${recursive ? 'r' : ''}bind ${folder}/${from} ${folder}/${at}` +
          (change === undefined ? '' : ` && mount -o remount,bind,${change[1]} ${folder}/${at}`),
      })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(place, fc.constantFrom(...changes)).map(([at, [attributes, words]]) => ({
      at,
      mount: (folder: string) => mounts.remount(`${folder}/${at}`, attributes),
      command: (folder: string) => `mount -o remount,bind,${words} ${folder}/${at}`,
    })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        place,
        fc.constantFrom(
          'private',
          'shared',
          'slave',
          'unbindable',
          'rshared',
          'rslave',
          'rprivate',
          'runbindable',
        ),
      )
      .map(([at, mode]) => ({
        at,
        mount: (folder: string) =>
          mounts.propagate(`${folder}/${at}`, mode as mounts.PropagationMode),
        command: (folder: string) => `mount --make-${mode} ${folder}/${at}`,
      })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(place, place).map(([from, at]) => ({
      at,
      mount: (folder: string) => mounts.move(`${folder}/${from}`, `${folder}/${at}`),
      command: (folder: string) =>
        `mountpoint -q ${folder}/${from} && mkdir -p ${folder}/${at} && mount --move ${folder}/${from} ${folder}/${at}`,
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(place, fc.boolean()).map(([at, detach]) => ({
      at,
      mount: (folder: string) => mounts.unmount(`${folder}/${at}`, { detach }),
      command: (folder: string) =>
        `umount --no-canonicalize ${detach ? '--lazy' : ''} ${folder}/${at}`,
    })),
  },
)

/** What is mounted below the folder, with numbers in the order in which they turn up. */
function seen({ pid, folder }: MountNamespace): string[] {
  const numbers = new Map<string, number>()
  const number = (kind: string, value: string | number | undefined) => {
    if (value === undefined) return ''
    const key = `${kind} ${value}`
    if (!numbers.has(key)) numbers.set(key, numbers.size)
    return `${kind}#${numbers.get(key)}`
  }
  return mounts
    .parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'))
    .filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`))
    .map(mount => {
      const { propagation, mountPoint, root, options, fsType, superOptions, minor, id, parent } =
        mount
      const { shared, master, unbindable } = propagation
      return [
        number('mount', id),
        number('mount', parent),
        mountPoint.slice(folder.length),
        root.replace(folder, ''),
        options,
        number('group', shared),
        number('master', master).replace(/#.*/, '#') + number('group', master),
        unbindable ? 'unbindable' : '',
        fsType,
        superOptions,
        fsType === 'tmpfs' ? number('device', minor) : '',
      ].join(' ')
    })
}

/** What a failed one may have left behind, or not: where it was to go. */
const leftBehind = (at: string): Action => ({
  at,
  mount: (folder: string) => mounts.directory(`${folder}/${at}`),
  command: (folder: string) => `mkdir -p ${folder}/${at}`,
})

async function works(does: Promise<unknown>): Promise<boolean> {
  try {
    await does
    return true
  } catch {
    return false
  }
}

t.test('one by one, and all that works in one sequence', needsRoot, async t => {
  const [ours, theirs, whole] = await Promise.all([
    mountNamespace(t),
    mountNamespace(t),
    mountNamespace(t),
  ])
  const made = places.map(place => `mkdir -p ${place}`).join('; ')
  // From the top down: what is covered can be reached when the cover has gone.
  const bare = places.map(place => `while umount -l ${place} 2>/dev/null; do :; done`).join('; ')
  const clear = `${bare}; rm -rf a b c; ${made}`
  let steps = 0
  let working = 0
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async actions => {
      await Promise.all([ours, theirs, whole].map(({ sh }) => sh(clear)))
      const succeeded: Action[] = []
      const both = async ({ mount, command }: Action) => {
        const [one, other] = await Promise.all([
          works(mounts.apply([mount(ours.folder)], { namespace: { pid: ours.pid } })),
          works(theirs.sh(`( ${command(theirs.folder)} ) 2>&1`)),
        ])
        if (one !== other) throw new Error(`${story()}: ${one ? 'works' : 'fails'} here only`)
        return one
      }
      const story = () => done.map(({ command }) => command('')).join('; ')
      const done: Action[] = []
      for (const action of actions) {
        done.push(action)
        steps++
        if (await both(action)) succeeded.push(action)
        else {
          const left = leftBehind(action.at)
          done.push(left)
          if (await both(left)) succeeded.push(left)
        }
        const [a, b] = [seen(ours), seen(theirs)]
        if (a.join('\n') !== b.join('\n'))
          throw new Error(`${story()}: here\n${a.join('\n')}\nthere\n${b.join('\n')}`)
      }
      working += succeeded.filter(action => actions.includes(action)).length
      if (succeeded.length === 0) return
      // A move, or what is made where nothing can be, works only as long as nothing failed half-way.
      const all = succeeded.map(({ mount }) => mount(whole.folder))
      await mounts.apply(all, { namespace: { pid: whole.pid } })
      const [a, b] = [seen(whole), seen(theirs)]
      if (a.join('\n') !== b.join('\n'))
        throw new Error(`in one sequence: here\n${a.join('\n')}\nthere\n${b.join('\n')}`)
    }),
    { numRuns: 25 },
  )
  t.ok(working > steps / 4, `${working} of ${steps} worked`)
})
