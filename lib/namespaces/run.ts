import { Descriptor, type Duration, onlyKeys, signalOption } from '../base/index.js'
import { type Errand, errandSteps, job } from '../run/index.js'
import { type NewNamespaces, newNamespacesKeys, openPlace } from './place.js'
import { type NamespaceReferences, namespaceKinds } from './reference.js'

/** Where a short job is done: in namespaces that exist, by their kinds, and in new ones. */
export interface Where extends NamespaceReferences, NewNamespaces {}

/** How long a job may take, and what gives it up. */
export interface RunOptions {
  /** After this time it is ended, and fails with `ETIMEDOUT`. Default: none. */
  timeout?: Duration
  /** Gives up: the process is killed, and the promise rejects. */
  signal?: AbortSignal
}

/** What comes of each of several errands. */
export type Answers<T extends readonly Errand<unknown>[]> = {
  -readonly [K in keyof T]: T[K] extends Errand<infer A> ? A : never
}

/**
 * Does something short in other namespaces, in a process of its own, and brings back
 * what comes of it: a descriptor, a text, a number. This program stays where it is.
 * clone3(2), setns(2), unshare(2)
 *
 * Several errands are done one after the other by the same process. If one fails nothing
 * is brought back.
 *
 * ```ts
 * const socket = await namespaces.run({ network: '/run/netns/blue' }, openSocket(2, 1))
 * const pid = await namespaces.run({ unshare: ['pid'] }, result(plan.call('getpid', []))) // 1n
 * ```
 *
 * @throws CofferdamError as {@link open} for a namespace that can't be found; `EPERM`
 * where this program may not enter it; of the operation that failed; `ETIMEDOUT`.
 * Equivalent to: `nsenter --net=… COMMAND`
 */
export async function run<T>(where: Where, errand: Errand<T>, options?: RunOptions): Promise<T>
export async function run<const T extends readonly Errand<unknown>[]>(
  where: Where,
  errands: T,
  options?: RunOptions,
): Promise<Answers<T>>
export async function run(
  where: Where,
  errand: Errand<unknown> | readonly Errand<unknown>[],
  options: RunOptions = {},
): Promise<unknown> {
  onlyKeys('where', where, [...namespaceKinds, ...newNamespacesKeys])
  onlyKeys('options', options, ['timeout', 'signal'])
  signalOption('signal', options.signal)
  const joined = namespaceKinds.filter(kind => where[kind] !== undefined)
  const references = Object.fromEntries(joined.map(kind => [kind, where[kind]]))
  const several = isList(errand)
  const errands = (several ? errand : [errand]).map(one => errandSteps(one))
  using place = openPlace('where', references, where)
  try {
    const work = errands.flatMap(({ steps }) => steps)
    await job('a job in other namespaces', [...place.steps, ...work], options)
    const answers = errands.map(({ answer }) => answer())
    return several ? answers : answers[0]
  } catch (error) {
    for (const { answer } of errands) discard(answer)
    throw error
  }
}

function isList(
  errand: Errand<unknown> | readonly Errand<unknown>[],
): errand is readonly Errand<unknown>[] {
  return Array.isArray(errand)
}

/** What has come before something failed. */
function discard(answer: () => unknown): void {
  let came: unknown
  try {
    came = answer()
  } catch {
    return // nothing has
  }
  if (came instanceof Descriptor) came.close()
}
