import { malformed, octets, s32, struct, u16, u32, u64 } from '../codec/index.js'

/** struct cn_msg, linux/connector.h; then what it carries. */
export const connector = struct({
  index: u32,
  value: u32,
  sequence: u32,
  answer: u32,
  length: u16,
  flags: u16,
})
const header = struct({ what: u32, cpu: u32, time: u64 })

const one = { thread: u32, pid: u32 }
const bodies = {
  none: struct({ error: u32 }),
  fork: struct({ parentThread: u32, parent: u32, ...one }),
  exec: struct(one),
  uid: struct({ ...one, real: u32, effective: u32 }),
  gid: struct({ ...one, real: u32, effective: u32 }),
  session: struct(one),
  trace: struct({ ...one, tracerThread: u32, tracer: u32 }),
  name: struct({ ...one, name: octets(16) }),
  exit: struct({ ...one, status: u32, exitSignal: s32, parentThread: u32, parent: u32 }),
} as const

/** linux/cn_proc.h enum proc_cn_event */
const kinds = new Map<number, keyof typeof bodies>([
  [0x0, 'none'],
  [0x1, 'fork'],
  [0x2, 'exec'],
  [0x4, 'uid'],
  [0x40, 'gid'],
  [0x80, 'session'],
  [0x100, 'trace'],
  [0x200, 'name'],
  [0x80000000, 'exit'],
])

/** What all events have. */
export interface ProcessEventOf<K extends string> {
  readonly kind: K
  /** Number of the process. */
  readonly pid: number
  /** Number of the thread; that of the process for its first one. */
  readonly thread: number
  /** Nanoseconds since the machine was started, without those that it slept. */
  readonly time: bigint
  readonly cpu: number
}

/** A process, or a thread of one, has come, gone or changed. */
export type ProcessEvent =
  | (ProcessEventOf<'fork'> & { readonly parent: number; readonly parentThread: number })
  | ProcessEventOf<'exec'>
  | (ProcessEventOf<'uid' | 'gid'> & { readonly real: number; readonly effective: number })
  | ProcessEventOf<'session'>
  /** `tracer` 0: it is no longer traced. */
  | (ProcessEventOf<'trace'> & { readonly tracer: number; readonly tracerThread: number })
  | (ProcessEventOf<'name'> & { readonly name: string })
  /** One of `exitCode` and `signal` is a number. */
  | (ProcessEventOf<'exit'> & {
      readonly exitCode: number | null
      readonly signal: number | null
      readonly parent: number
      readonly parentThread: number
    })

/** The kernel's word that it has understood, with an errno value. */
export interface ProcessAnswer {
  readonly kind: 'none'
  readonly error: number
}

/** What a message of the connector tells of; undefined for what is not described here. */
export function readProcessEvent(
  bytes: Buffer,
  start: number,
  end: number,
): ProcessEvent | ProcessAnswer | undefined {
  const { length } = connector.read(bytes, start, end)
  const from = start + connector.size
  if (length > end - from) throw malformed(`${length} bytes where there are ${end - from}`)
  const { what, cpu, time } = header.read(bytes, from, from + length)
  const kind = kinds.get(what)
  if (kind === undefined) return undefined
  const body = bodies[kind].read(bytes, from + header.size, from + length)
  if (kind === 'none') return { kind, error: (body as { error: number }).error }
  const told = { kind, ...body, cpu, time } as Record<string, unknown>
  if (kind === 'name') told.name = nameText(told.name as Uint8Array)
  if (kind !== 'exit') return told as unknown as ProcessEvent
  const { status, exitSignal: _, ...rest } = told
  const number = status as number
  // As wait(2) has it.
  const signal = number & 0x7f
  return {
    ...rest,
    exitCode: signal === 0 ? (number >>> 8) & 0xff : null,
    signal: signal === 0 ? null : signal,
  } as unknown as ProcessEvent
}

function nameText(bytes: Uint8Array): string {
  const stop = bytes.indexOf(0)
  return Buffer.from(stop < 0 ? bytes : bytes.subarray(0, stop)).toString()
}
