import { parseList, readPseudoFile } from '../../base/index.js'
import { Variant } from '../dbus/index.js'
import { type CheckedLimits, cpuWeightFromShares, ioWeightFromBlkio } from '../limits/index.js'

/** A property of a unit as systemd's methods take it. */
export type Property = [name: string, value: Variant]

const INFINITY = 0xffff_ffff_ffff_ffffn // UINT64_MAX

const number = (value: number | 'max') =>
  new Variant('t', value === 'max' ? INFINITY : BigInt(value))

/** How processes that systemd keeps the group with are counted in. */
const OWN_PROCESSES = 1

/**
 * Limits as properties of a unit, those that it has names for. The group's files are written
 * besides; but what systemd does not know of, it may undo when it is reloaded.
 * systemd.resource-control(5); the same as runc sets.
 *
 * @param scope The unit is a scope, in which there is a process of this package's.
 */
export function limitProperties(limits: CheckedLimits, scope: boolean): Property[] {
  return [
    ...memoryProperties(limits.memory ?? {}),
    ...cpuProperties(limits.cpu ?? {}),
    ...cpusetProperties(limits.cpuset ?? {}),
    ...pidsProperties(limits.pids, scope),
    ...ioProperties(limits.io ?? {}),
  ]
}

function memoryProperties(memory: NonNullable<CheckedLimits['memory']>): Property[] {
  const names = {
    max: 'MemoryMax',
    high: 'MemoryHigh',
    low: 'MemoryLow',
    min: 'MemoryMin',
    swap: 'MemorySwapMax',
  } as const
  return Object.entries(names).flatMap(([key, name]): Property[] => {
    const value = memory[key as keyof typeof names]
    return value === undefined ? [] : [[name, number(value)]]
  })
}

/** systemd keeps it in whole percents of a processor, in its files at least. */
const PERCENT = 10_000
/** cpu.max as the kernel begins with it. */
const PERIOD = 100_000

function cpuProperties(cpu: NonNullable<CheckedLimits['cpu']>): Property[] {
  const properties: Property[] = []
  const { quota, period, weight, shares, idle } = cpu
  if (quota !== undefined) {
    // Rounded up, as runc does; the group's file has it exactly.
    const perSecond =
      quota === 'max' ? 'max' : Math.ceil((quota * 1e6) / (period ?? PERIOD) / PERCENT) * PERCENT
    properties.push(['CPUQuotaPerSecUSec', number(perSecond)])
  }
  if (period !== undefined) properties.push(['CPUQuotaPeriodUSec', number(period)])
  const weighs = weight ?? (shares === undefined ? undefined : cpuWeightFromShares(shares))
  // 0 stands for "idle", systemd 252.
  if (idle === true) properties.push(['CPUWeight', number(0)])
  else if (weighs !== undefined) properties.push(['CPUWeight', number(weighs)])
  return properties
}

function cpusetProperties({ cpus, mems }: NonNullable<CheckedLimits['cpuset']>): Property[] {
  const set = (list: string) => new Variant('ay', bitSet(list))
  return [
    ...(cpus === undefined ? [] : [['AllowedCPUs', set(cpus)] as Property]),
    ...(mems === undefined ? [] : [['AllowedMemoryNodes', set(mems)] as Property]),
  ]
}

/** `0-2,8` as bytes, the lowest number in the lowest bit. */
function bitSet(list: string): Uint8Array {
  const numbers = list === 'max' ? [] : parseList('limits.cpuset', list)
  const bytes = new Uint8Array(Math.floor(Math.max(-1, ...numbers) / 8) + 1)
  for (const each of numbers) bytes[each >> 3] = (bytes[each >> 3] as number) | (1 << (each & 7))
  return bytes
}

function pidsProperties(pids: CheckedLimits['pids'], scope: boolean): Property[] {
  if (pids === undefined) return []
  return [['TasksMax', number(pids === 'max' || !scope ? pids : pids + OWN_PROCESSES)]]
}

function ioProperties(io: NonNullable<CheckedLimits['io']>): Property[] {
  const properties: Property[] = []
  const weight =
    io.weight ?? (io.bfqWeight === undefined ? undefined : ioWeightFromBlkio(io.bfqWeight))
  if (weight !== undefined) properties.push(['IOWeight', number(weight)])
  const lists = {
    weight: 'IODeviceWeight',
    rbps: 'IOReadBandwidthMax',
    wbps: 'IOWriteBandwidthMax',
    riops: 'IOReadIOPSMax',
    wiops: 'IOWriteIOPSMax',
    latency: 'IODeviceLatencyTargetUSec',
  } as const
  for (const [key, name] of Object.entries(lists)) {
    const entries = (io.devices ?? []).flatMap(device => {
      const value = device[key as keyof typeof lists]
      const path = deviceNode(device.device)
      return value === undefined || path === undefined ? [] : [[path, number(value).value]]
    })
    if (entries.length > 0) properties.push([name, new Variant('a(st)', entries)])
  }
  return properties
}

/** systemd takes paths of devices and no numbers: as the kernel names them, in devtmpfs. */
function deviceNode(numbers: string): string | undefined {
  const name = /^DEVNAME=(\S+)$/m.exec(
    readPseudoFile(`/sys/dev/block/${numbers}/uevent`) ?? '',
  )?.[1]
  return name === undefined ? undefined : `/dev/${name}`
}
