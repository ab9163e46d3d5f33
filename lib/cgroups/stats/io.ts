import type { StatsSource, StatsText } from './source.js'

/** A count that goes on beyond 2^53, which a fast disk reaches in weeks: a bigint then. */
export type Counter = number | bigint

/** What a group and those below it have done with one block device. */
export interface IoDeviceStats {
  /** `'8:0'` */
  device: string
  /** Bytes read. */
  rbytes: Counter
  /** Bytes written. */
  wbytes: Counter
  /** Reads. */
  rios: Counter
  /** Writes. */
  wios: Counter
  /** Bytes discarded. */
  dbytes?: Counter | undefined
  /** Discards. */
  dios?: Counter | undefined
}

/** Block I/O of a group. */
export interface IoStats {
  /** Those that it has used. */
  devices: IoDeviceStats[]
}

const newDevice = (device: string): IoDeviceStats => ({
  device,
  rbytes: 0,
  wbytes: 0,
  rios: 0,
  wios: 0,
  dbytes: undefined,
  dios: undefined,
})

const unifiedKeys = new Set(['rbytes', 'wbytes', 'rios', 'wios', 'dbytes', 'dios'])
const isDevice = (text: string) => /^\d+:\d+$/.test(text)
const EQUALS = 61

export const ioUnified: StatsSource = {
  part: 'io',
  version: 2,
  controller: 'io',
  files: ['io.stat'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined) return
    const devices: IoDeviceStats[] = []
    for (; !text.atEnd; text.nextLine()) {
      const name = text.word()
      if (!isDevice(name)) continue
      const device = newDevice(name)
      let any = false
      while (!text.atLineEnd) {
        const key = text.word(EQUALS)
        const value = unifiedKeys.has(key) ? text.counter() : undefined
        text.word()
        if (value === undefined) continue
        device[key as 'rbytes'] = value
        any = true
      }
      if (any) devices.push(device)
    }
    stats.io = { devices }
  },
}

const legacyKeys: Record<
  string,
  readonly ['rbytes' | 'wbytes' | 'dbytes', 'rios' | 'wios' | 'dios']
> = {
  Read: ['rbytes', 'rios'],
  Write: ['wbytes', 'wios'],
  Discard: ['dbytes', 'dios'],
}

/** Reads lines `8:0 Read 4096` of bytes (0) or of operations (1). */
function readLegacy(text: StatsText, which: 0 | 1, devices: Map<string, IoDeviceStats>): void {
  let last: IoDeviceStats | undefined
  for (; !text.atEnd; text.nextLine()) {
    const name = text.word()
    const key = legacyKeys[text.word()]?.[which]
    if (key === undefined) continue
    if (name !== last?.device) {
      if (!isDevice(name)) continue
      last = devices.get(name) ?? newDevice(name)
      devices.set(name, last)
    }
    const value = text.counter()
    if (value !== undefined) last[key] = value
  }
}

export const ioLegacy: StatsSource = {
  part: 'io',
  version: 1,
  controller: 'blkio',
  files: ['blkio.throttle.io_service_bytes_recursive', 'blkio.throttle.io_serviced_recursive'],
  read(files, stats) {
    const devices = new Map<string, IoDeviceStats>()
    for (const which of [0, 1] as const) {
      const text = files.text(which)
      if (text === undefined) return
      readLegacy(text, which, devices)
    }
    stats.io = { devices: [...devices.values()] }
  },
}
