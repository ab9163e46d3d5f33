import { conflict, integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { blockDevice } from './block-device.js'
import { blkioWeightFromIo, ioWeightFromBlkio } from './convert.js'
import { known, type LimitKind } from './kind.js'
import type { LimitFolder } from './target.js'
import {
  type LimitNumber,
  type LimitSize,
  microsecondsOption,
  numberLimit,
  sizeLimit,
  toldLimit,
  toldLines,
  toldNumber,
  toldPairs,
} from './values.js'

/** Of one disk; the kernel takes whole disks, and no partitions (`ENODEV`). */
export interface IoDeviceLimits {
  /** Its numbers, `'8:0'`, or a path, `'/dev/sda'`. */
  device: string
  /** As `weight` of {@link IoLimits}, for this disk. */
  weight?: number
  /** As `bfqWeight` of {@link IoLimits}, for this disk. */
  bfqWeight?: number
  /** Bytes read in a second, or `'max'`. v2 `io.max`, v1 `blkio.throttle.read_bps_device`. */
  rbps?: LimitSize
  /** Bytes written in a second. v2 `io.max`, v1 `blkio.throttle.write_bps_device`. */
  wbps?: LimitSize
  /** Reads in a second. v2 `io.max`, v1 `blkio.throttle.read_iops_device`. */
  riops?: LimitNumber
  /** Writes in a second. v2 `io.max`, v1 `blkio.throttle.write_iops_device`. */
  wiops?: LimitNumber
  /**
   * Microseconds, or text as `'10ms'`, in which requests shall be done, or `'max'`: groups
   * beside it that are content with more are held back for it. v2 `io.latency`.
   */
  latency?: number | string
}

/**
 * Reading from and writing to disks. What goes through the page cache is counted for who
 * has written it on v2 alone; on v1 what is written with O_DIRECT is held back, and the
 * rest as the kernel's writeback.
 */
export interface IoLimits {
  /**
   * Share of a disk's time beside other groups, 1 to 10,000; the kernel begins with 100.
   * v2 `io.weight`, heeded where the disk has a cost model (io.cost.qos). Where there is
   * only BFQ's weight, that of {@link blkioWeightFromIo}, a coarser scale.
   */
  weight?: number
  /**
   * The same for the scheduler BFQ, and the OCI's `blockIO.weight`: 10 to 1,000. v2
   * `io.bfq.weight`, v1 `blkio.bfq.weight`, or `blkio.weight` before Linux 5.0; where
   * there is only v2's `io.weight`, that of {@link ioWeightFromBlkio}, as runc has it.
   * Equivalent to: `docker run --blkio-weight`
   */
  bfqWeight?: number
  /** By device, each once. */
  devices?: readonly IoDeviceLimits[]
}

/** {@link IoDeviceLimits}, checked. */
export interface CheckedIoDevice {
  /** `'8:0'` */
  device: string
  weight?: number
  bfqWeight?: number
  rbps?: LimitNumber
  wbps?: LimitNumber
  riops?: LimitNumber
  wiops?: LimitNumber
  latency?: LimitNumber
}

/** {@link IoLimits}, checked. */
export interface CheckedIo {
  weight?: number
  bfqWeight?: number
  devices?: CheckedIoDevice[]
}

const throttles = {
  rbps: 'blkio.throttle.read_bps_device',
  wbps: 'blkio.throttle.write_bps_device',
  riops: 'blkio.throttle.read_iops_device',
  wiops: 'blkio.throttle.write_iops_device',
} as const
const throttleKeys = Object.keys(throttles) as (keyof typeof throttles)[]
const MOST_IOPS = 2 ** 32 - 1 // UINT_MAX; block/blk-throttle.c

function parseDevice(option: string, value: unknown): CheckedIoDevice {
  onlyKeys(option, value, ['device', 'weight', 'bfqWeight', ...throttleKeys, 'latency'])
  const limits = value as IoDeviceLimits
  const size = (key: 'rbps' | 'wbps') => {
    if (limits[key] === undefined) return undefined
    const bytes = sizeLimit(`${option}.${key}`, limits[key], 1)
    if (bytes === 0)
      throw invalidOption(`${option}.${key}`, '0 is none; bytes from 1, and max, are')
    return bytes
  }
  const count = (key: 'riops' | 'wiops') =>
    limits[key] === undefined
      ? undefined
      : numberLimit(`${option}.${key}`, limits[key], 1, MOST_IOPS)
  const { latency } = limits
  return {
    device: blockDevice(`${option}.device`, limits.device),
    ...known({
      ...parseWeights(option, limits),
      rbps: size('rbps'),
      wbps: size('wbps'),
      riops: count('riops'),
      wiops: count('wiops'),
      latency:
        latency === undefined || latency === 'max'
          ? latency
          : microsecondsOption(`${option}.latency`, latency, 1, 2 ** 40),
    }),
  }
}

function parseWeights(
  option: string,
  { weight, bfqWeight }: { weight?: number; bfqWeight?: number },
) {
  if (weight !== undefined && bfqWeight !== undefined)
    throw conflict(`${option}.bfqWeight`, 'and weight are the same in two scales; give one of them')
  return known<{ weight?: number; bfqWeight?: number }>({
    weight: weight === undefined ? undefined : integerOption(`${option}.weight`, weight, 1, 10_000),
    bfqWeight:
      bfqWeight === undefined
        ? undefined
        : integerOption(`${option}.bfqWeight`, bfqWeight, 10, 1000),
  })
}

function parse(option: string, value: unknown): CheckedIo {
  onlyKeys(option, value, ['weight', 'bfqWeight', 'devices'])
  const limits = value as IoLimits
  const checked: CheckedIo = { ...parseWeights(option, limits) }
  if (limits.devices === undefined) return checked
  if (!Array.isArray(limits.devices))
    throw invalidOption(`${option}.devices`, `${show(limits.devices)} is no list`)
  checked.devices = limits.devices.map((device, i) =>
    parseDevice(`${option}.devices[${i}]`, device),
  )
  const names = checked.devices.map(({ device }) => device)
  for (const [i, name] of names.entries())
    if (names.indexOf(name) !== i)
      throw conflict(`${option}.devices[${i}].device`, `${name} has been named before`)
  return checked
}

/** Files of weights: the scale of v2, and that of BFQ. */
function weightFiles(folder: LimitFolder): { io?: string; bfq?: string } {
  const [io, ...bfq] =
    folder.version === 2
      ? ['io.weight', 'io.bfq.weight']
      : [undefined, 'blkio.bfq.weight', 'blkio.weight']
  return {
    ...(io !== undefined && folder.has(io) ? { io } : {}),
    ...known<{ bfq?: string }>({ bfq: bfq.find(file => folder.has(file)) }),
  }
}

function writeWeight(
  folder: LimitFolder,
  option: string,
  limits: { weight?: number; bfqWeight?: number },
  device?: string,
): void {
  const { weight, bfqWeight } = limits
  if (weight === undefined && bfqWeight === undefined) return
  const { io, bfq } = weightFiles(folder)
  const inBfq = bfq !== undefined && (bfqWeight !== undefined || io === undefined)
  const own = `${option}.${weight === undefined ? 'bfqWeight' : 'weight'}`
  const file = inBfq ? bfq : io
  if (file === undefined)
    throw folder.missing(own, 'weights', "none of the disks' schedulers has any; bfq has")
  const value = inBfq
    ? (bfqWeight ?? blkioWeightFromIo(weight as number))
    : (weight ?? ioWeightFromBlkio(bfqWeight as number))
  const suffix = device !== undefined && folder.version === 1 ? '_device' : ''
  folder.write(own, `${file}${suffix}`, device === undefined ? value : `${device} ${value}`)
}

function writeDevice(folder: LimitFolder, option: string, limits: CheckedIoDevice): void {
  const { device, latency } = limits
  writeWeight(folder, option, limits, device)
  const rates = throttleKeys.filter(key => limits[key] !== undefined)
  if (folder.version === 1)
    for (const key of rates) {
      const value = limits[key] === 'max' ? 0 : limits[key] // 0 takes the rule away
      folder.write(`${option}.${key}`, throttles[key], `${device} ${value}`)
    }
  else if (rates.length > 0) {
    const pairs = rates.map(key => `${key}=${limits[key]}`)
    folder.write(`${option}.${rates[0]}`, 'io.max', `${device} ${pairs.join(' ')}`)
  }
  if (latency !== undefined) {
    folder.onlyIn(2, `${option}.latency`)
    const hint = 'CONFIG_BLK_CGROUP_IOLATENCY is not in this kernel'
    folder.write(`${option}.latency`, 'io.latency', `${device} target=${latency}`, hint)
  }
}

function files(version: 1 | 2): string[] {
  if (version === 2) return ['io.weight', 'io.bfq.weight', 'io.max', 'io.latency']
  const weights = ['blkio.bfq.weight', 'blkio.weight']
  return [...weights, ...weights.map(file => `${file}_device`), ...Object.values(throttles)]
}

/** Limits of block I/O. */
export const io: LimitKind<CheckedIo> = {
  sources: [
    {
      controllers: ['io', 'blkio'],
      files,
    },
  ],
  parse,
  write(target, option, limits) {
    if (Object.keys(limits).length === 0) return
    const folder = target.at(option, ['io', 'blkio'])
    writeWeight(folder, option, limits)
    for (const [i, device] of (limits.devices ?? []).entries())
      writeDevice(folder, `${option}.devices[${i}]`, device)
  },
  read(text, version) {
    const isThere = files(version).some(file => text(file) !== undefined)
    return isThere ? (version === 2 ? read2(text) : read1(text)) : undefined
  },
}

type Text = (file: string) => string | undefined
type Devices = Map<string, CheckedIoDevice>

function deviceOf(devices: Devices, device: string): CheckedIoDevice | undefined {
  if (!/^\d{1,4}:\d{1,7}$/.test(device)) return undefined
  const limits = devices.get(device) ?? { device }
  devices.set(device, limits)
  return limits
}

/** A file of weights: `default 100` or `100`, and `8:0 200`. */
function readWeights(devices: Devices, text: string | undefined, key: 'weight' | 'bfqWeight') {
  let weight = toldNumber(text) // blkio.weight has nothing else
  for (const [name, rest] of toldLines(text)) {
    const value = toldNumber(rest)
    if (value === undefined) continue
    const limits = deviceOf(devices, name)
    if (name === 'default') weight = value
    else if (limits !== undefined) limits[key] = value
  }
  return weight
}

/** Either scale can be asked for; what the kernel has of both is told in both. */
function withBothScales<T extends { weight?: number | undefined; bfqWeight?: number | undefined }>(
  limits: T,
): T {
  const { weight, bfqWeight } = limits
  if (weight !== undefined && bfqWeight === undefined)
    return { ...limits, bfqWeight: blkioWeightFromIo(weight) }
  if (bfqWeight !== undefined && weight === undefined)
    return { ...limits, weight: ioWeightFromBlkio(bfqWeight) }
  return limits
}

function result(
  weights: { weight: number | undefined; bfqWeight: number | undefined },
  devices: Devices,
) {
  const all = [...devices.values()].map(withBothScales)
  // Who has one rate has the others too.
  for (const limits of all)
    if (throttleKeys.some(key => limits[key] !== undefined))
      for (const key of throttleKeys) limits[key] ??= 'max'
  const byNumbers = (a: CheckedIoDevice, b: CheckedIoDevice) =>
    a.device.localeCompare(b.device, 'en', { numeric: true })
  return { ...known(withBothScales(weights)), devices: all.sort(byNumbers) }
}

function read2(text: Text): CheckedIo | undefined {
  const devices: Devices = new Map()
  const weights = {
    weight: readWeights(devices, text('io.weight'), 'weight'),
    bfqWeight: readWeights(devices, text('io.bfq.weight'), 'bfqWeight'),
  }
  for (const [name, rest] of toldLines(text('io.max'))) {
    const limits = deviceOf(devices, name)
    if (limits === undefined) continue
    const rates = new Map(toldPairs(rest))
    for (const key of throttleKeys) limits[key] = toldLimit(rates.get(key)) ?? 'max'
  }
  for (const [name, rest] of toldLines(text('io.latency'))) {
    const latency = toldLimit(new Map(toldPairs(rest)).get('target'))
    const limits = deviceOf(devices, name)
    if (limits !== undefined && latency !== undefined) limits.latency = latency
  }
  return result(weights, devices)
}

function read1(text: Text): CheckedIo | undefined {
  const devices: Devices = new Map()
  let bfqWeight: number | undefined
  for (const file of ['blkio.weight', 'blkio.bfq.weight']) {
    bfqWeight = readWeights(devices, text(file), 'bfqWeight') ?? bfqWeight
    readWeights(devices, text(`${file}_device`), 'bfqWeight')
  }
  for (const key of throttleKeys)
    for (const [name, rest] of toldLines(text(throttles[key]))) {
      const limits = deviceOf(devices, name)
      const limit = toldLimit(rest)
      if (limits !== undefined && limit !== undefined) limits[key] = limit
    }
  return result({ weight: undefined, bfqWeight }, devices)
}
