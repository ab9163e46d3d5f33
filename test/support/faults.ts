// System calls of init that fail.
import { readdirSync, readFileSync } from 'node:fs'
import type { CofferdamError } from 'cofferdam'
import type { Test } from 'tap'
import { native } from '#lib/base/index.js'
import { traces, until } from './index.js'

// build/Release/init-faulty is init with a switch: the how-manieth system call
// of a plan fails, or never returns. The switch is in the header of the plan,
// which is changed here on its way to the addon.
export const EIO = 5
export const HANG = 0xffff
const FAULT_AT = 16
const FAULT_ERRNO = 20

/** The plans of a container. */
type Half = 'create' | 'start'

/** Which call fails. */
interface Fault {
  half: Half
  /** The how-manieth call of the plan. */
  at: number
  errno: number
  /** The how-manieth plan of this half, where it takes several. Default: each of them. */
  plan?: number
}

let fault: Fault | undefined
let plans = 0

/** From now on this call fails, or none. */
export function setFault(next: Fault | undefined): void {
  fault = next
  plans = 0
}

function withFault(half: Half, plan: Uint8Array): Uint8Array {
  if (fault?.half !== half) return plan
  plans++
  if (fault.plan !== undefined && fault.plan !== plans) return plan
  const bytes = Buffer.from(plan)
  bytes.writeUInt32LE(fault.at, FAULT_AT)
  bytes.writeUInt32LE(fault.errno, FAULT_ERRNO)
  return bytes
}

if (process.getuid?.() === 0) {
  const addon = native()
  addon.useInit(readFileSync(new URL('../../../build/Release/init-faulty', import.meta.url)))
  const { create, start } = addon
  // Nothing is made in advance, so that every start makes the same calls.
  addon.create = (flags, _ahead, host, plan, ...rest) =>
    create(flags, null, host, withFault('create', plan), ...rest)
  addon.start = (id, plan, ...rest) => start(id, withFault('start', plan), ...rest)
}

/** All that is in a directory, at every depth. */
function tree(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).sort()
}

/**
 * Lets each call of a plan fail in turn, until none does any harm any more, and
 * tells `failed` of what came of it. Gives how many calls were tried.
 */
export async function failEach(
  which: { half: Half; plan?: number },
  attempt: () => Promise<CofferdamError | undefined>,
  failed: (error: CofferdamError, at: number) => void,
): Promise<number> {
  let at = 1
  // A close that fails does no harm; nor does a call after the last.
  for (let spared = 0; spared < 8; at++) {
    setFault({ ...which, at, errno: EIO })
    const error = await attempt()
    setFault(undefined)
    spared = error === undefined ? spared + 1 : 0
    if (error !== undefined) failed(error, at)
  }
  return at
}

/** Remembers what there is, and gives a check that nothing has been added, in `root` either. */
export function remember(root: string): (t: Test) => Promise<void> {
  const before = { traces: traces(), tree: tree(root) }
  return async t => {
    // What has ended is noticed in a later turn of the event loop.
    await until(() => {
      const { children, descriptors } = traces()
      const { traces: first } = before
      return children.length === first.children.length && descriptors === first.descriptors
    })
    const after = { traces: traces(), tree: tree(root) }
    t.same(after.traces.children, before.traces.children, 'no process is left')
    t.equal(after.traces.mounts, before.traces.mounts, 'no mount is left')
    t.equal(after.traces.descriptors, before.traces.descriptors, 'no descriptor is left')
    t.same(after.tree, before.tree, 'no mount target is left')
  }
}
