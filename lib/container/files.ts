import { addAbortSignal, Readable } from 'node:stream'
import {
  CofferdamError,
  invalidOption,
  native,
  onlyKeys,
  signalOption,
  textOption,
} from '../base/index.js'
import { containerId, hostId, type IdMapping } from '../namespaces/index.js'
import type { Init } from '../run/index.js'
import { rootAgain } from './compose-mounts.js'
import type { Configuration } from './configuration.js'
import { isolates } from './configuration.js'
import type { Status } from './container.js'
import { mountRoot, openRoot } from './errand.js'
import type { Owners } from './in-root.js'
import { pack } from './pack.js'
import { unpack } from './unpack.js'
import { hasUserNamespace, userSteps } from './user-namespace.js'

/** What {@link Box.archive} and {@link Box.extract} take besides. */
export interface FileOptions {
  /** Gives up. What has been extracted stays. */
  signal?: AbortSignal
}

/** The container whose files are meant. */
export interface FileOwner {
  id: string
  configuration: Configuration
  init: Init
  status(): Status
}

/** The kernel's id of who has none in a namespace; user_namespaces(7). */
const OVERFLOW_ID = 65534

/** Owners as the container knows them. */
function ownersInside({ idMappings }: Configuration): Owners {
  const inside = (mappings: readonly IdMapping[] | undefined) => (id: number) =>
    mappings === undefined ? id : (containerId(mappings, id) ?? OVERFLOW_ID)
  return { uid: inside(idMappings?.uid), gid: inside(idMappings?.gid) }
}

/** The container's owners as the host knows them. */
function ownersOutside({ idMappings }: Configuration): Owners {
  const outside = (mappings: readonly IdMapping[] | undefined) => (id: number) => {
    const found = mappings === undefined ? id : hostId(mappings, id)
    if (found !== undefined) return found
    throw new CofferdamError(`extract: the container's user namespace has no id ${id}`, {
      code: 'EINVAL',
    })
  }
  return { uid: outside(idMappings?.uid), gid: outside(idMappings?.gid) }
}

/** Calls `use` with a descriptor of the container's root directory. */
async function withRoot(
  what: string,
  { id, configuration, init, status }: FileOwner,
  use: (root: number) => Promise<void>,
): Promise<void> {
  const { rootfs, isolation } = configuration
  const cannot = (problem: string, hint?: string) =>
    new CofferdamError(`${what}: container ${id} ${problem}`, { code: 'ERR_STATE', hint })
  const now = status()
  if (now === 'deleted') throw cannot('is deleted')
  if (now === 'creating') throw cannot('is being made')
  const user = hasUserNamespace(configuration)
  if (now !== 'stopped') {
    const apart = isolates(configuration, 'mount') || isolation?.mount !== undefined
    const kinds = user ? (['user', 'mount'] as const) : (['mount'] as const)
    const root = await openRoot(init, apart ? kinds : [], rootAgain(configuration))
    try {
      return await use(root)
    } finally {
      native().close(root)
    }
  }
  if (rootfs === undefined)
    throw cannot('is stopped, and has no root file system of its own', 'rootfs() gives it one')
  if (rootfs.type === 'tmpfs' || (rootfs.type === 'overlay' && rootfs.upper === undefined))
    throw cannot(
      'is stopped, and what it had written was in memory',
      'with overlay({ upper, work }) it stays',
    )
  const enter = user && typeof isolation?.user !== 'object' ? userSteps(configuration, []) : []
  await mountRoot(rootfs, enter, use)
}

/** A path in the container; what it ends with has a meaning of its own. */
function filePath(option: string, value: unknown): string {
  const path = textOption(option, value)
  if (!path.startsWith('/')) throw invalidOption(option, `${JSON.stringify(path)} is not absolute`)
  if (path.split('/').includes('..')) throw invalidOption(option, `${path} has a '..' in it`)
  return path
}

function checkOptions(option: string, options: FileOptions): AbortSignal | undefined {
  onlyKeys(option, options, ['signal'])
  return signalOption(`${option}.signal`, options.signal)
}

/** What {@link Box.archive} does. */
export function archive(owner: FileOwner, wanted: string, options: FileOptions): Readable {
  const path = filePath('archive', wanted)
  const signal = checkOptions('archive', options)
  const stream = Readable.from(chunks(owner, path), {
    objectMode: false,
    highWaterMark: 64 * 1024,
  })
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

/** The archive's bytes. The root is held open as long as somebody asks for more. */
async function* chunks(owner: FileOwner, path: string): AsyncGenerator<Buffer> {
  let done: () => void = () => undefined
  const finished = new Promise<void>(resolve => {
    done = resolve
  })
  let held: Promise<void> = Promise.resolve()
  const root = await new Promise<number>((resolve, reject) => {
    held = withRoot('archive', owner, root => {
      resolve(root)
      return finished
    })
    held.catch(reject)
  })
  try {
    yield* pack(root, path, ownersInside(owner.configuration))
  } finally {
    done()
    await held
  }
}

/** What {@link Box.extract} does. */
export async function extract(
  owner: FileOwner,
  wanted: string,
  tar: AsyncIterable<Uint8Array>,
  options: FileOptions,
): Promise<void> {
  const path = filePath('extract', wanted)
  const signal = checkOptions('extract', options)
  if (typeof tar?.[Symbol.asyncIterator] !== 'function')
    throw invalidOption('extract', 'the archive must be a stream of bytes')
  signal?.throwIfAborted()
  await withRoot('extract', owner, root =>
    unpack(root, path, tar, ownersOutside(owner.configuration), signal),
  )
}
