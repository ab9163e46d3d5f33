import { fstatSync, readSync } from 'node:fs'
import { CofferdamError, native } from '../base/index.js'
import {
  hostRootStep,
  propagationStep,
  type Root,
  readonlyRootStep,
  rootStep,
} from '../mounts/index.js'
import { joinProcess, type NamespaceKind, unshare } from '../namespaces/index.js'
import {
  AT_FDCWD,
  call,
  named,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  OPEN_HOW_SIZE,
  openHow,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { type Init, job } from '../run/index.js'

/**
 * Sends an init into namespaces of another one's, has it do something there,
 * and waits for its end.
 */
async function errand(
  what: string,
  target: Init | undefined,
  kinds: readonly NamespaceKind[],
  ...steps: Step[]
): Promise<void> {
  if (target === undefined) return await job(what, steps)
  const pidfd = slot('container')
  const join = kinds.length > 0 ? [joinProcess(pidfd, kinds)] : []
  await job(what, [...join, ...steps], { target: { init: target, pidfd } })
}

/**
 * Opens a container's root directory as its processes have it; `enter` leads to it, if
 * its namespaces don't. The descriptor is the caller's, to be closed by the addon.
 */
export async function openRoot(
  target: Init,
  kinds: readonly NamespaceKind[],
  enter: readonly Step[],
): Promise<number> {
  const root = slot('root')
  let fd = -1
  await errand('open root', target, kinds, ...enter, hostRootStep(root), {
    side: 'waiting',
    name: 'hand over the root',
    send: root,
    run: ({ descriptor }) => {
      fd = descriptor
    },
  })
  return fd
}

/**
 * Mounts a root once more, in a mount namespace that lasts until `use` is
 * through with it, and gives it the descriptor. `enter` leads to the user
 * namespace that may do that.
 */
export async function mountRoot(
  rootfs: Root,
  enter: readonly Step[],
  use: (root: number) => Promise<void>,
): Promise<void> {
  const root = slot('root')
  let used: Promise<void> | undefined
  await errand(
    'mount root',
    undefined,
    [],
    ...enter,
    unshare(['mount']),
    propagationStep(),
    rootStep(rootfs, root),
    ...(rootfs.readonly === true ? [readonlyRootStep(root)] : []),
    {
      side: 'waiting',
      name: 'use the root',
      send: root,
      run: async ({ descriptor }) => {
        used = use(descriptor)
        // What goes wrong with it is no fault of the step.
        await Promise.allSettled([used])
        native().close(descriptor)
      },
    },
  )
  await used
}

const MOST = 1 << 20

/**
 * Reads files of a container's own root: what init opens there is looked at and
 * read here. A file that is missing is empty.
 *
 * @throws CofferdamError `EFTYPE` for what is no regular file, `EFBIG` above 1 MiB.
 */
export async function readInside(
  target: Init,
  kinds: readonly NamespaceKind[],
  enter: readonly Step[],
  paths: readonly string[],
): Promise<string[]> {
  const texts = paths.map(() => '')
  const how = openHow([O_RDONLY, O_NONBLOCK, O_CLOEXEC], [RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS])
  const steps = paths.flatMap((path, i): Step[] => {
    const file = slot('file')
    return [
      step(
        `open ${path}`,
        call('openat2', [AT_FDCWD, path, how, OPEN_HOW_SIZE], {
          result: file,
          tolerate: ['ENOENT', 'ENOTDIR'],
          skip: 1, // the waiting point
        }),
      ),
      {
        side: 'waiting',
        name: `read ${path}`,
        send: file,
        run: ({ descriptor }) => {
          try {
            texts[i] = readRegular(path, descriptor)
          } finally {
            native().close(descriptor)
          }
        },
      },
    ]
  })
  await errand('look up', target, kinds, ...enter, ...steps)
  return texts
}

function readRegular(path: string, fd: number): string {
  const stat = fstatSync(fd)
  const refuse = (code: string, problem: string) =>
    new CofferdamError(`${path} of the container ${problem}`, { code, path })
  if (!stat.isFile()) throw refuse('EFTYPE', 'is no regular file')
  const bytes = Buffer.alloc(MOST + 1)
  const length = readSync(fd, bytes, 0, bytes.length, 0)
  if (length > MOST) throw refuse('EFBIG', 'has more than 1 MiB')
  return bytes.toString('utf8', 0, length)
}

/**
 * Sends a signal to all processes of a PID namespace but its first. kill(2)
 * with -1 reaches those that the sender sees. When the first ends because of
 * it, the kernel kills the sender with all others.
 */
export async function signalOthers(
  target: Init,
  kinds: readonly NamespaceKind[],
  signal: number,
): Promise<void> {
  const everybody = named('-1', 0xffffffff)
  try {
    await errand(
      'kill all',
      target,
      kinds,
      step('kill all', call('kill', [everybody, signal], { tolerate: ['ESRCH'] })),
    )
  } catch (error) {
    if ((error as CofferdamError).code !== 'ERR_INIT_DIED') throw error
  }
}
