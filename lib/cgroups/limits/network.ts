import { integerOption, invalidOption, objectOption, onlyKeys, show } from '../../base/index.js'
import { known, type LimitKind } from './kind.js'
import { nameOption } from './rdma.js'
import { toldLines, toldNumber } from './values.js'

/** Marks of what the group sends. v1 alone; on v2 rules of nftables match a socket's group. */
export interface NetworkLimits {
  /**
   * Class for tc(8) and the firewall: a number, or `'10:1'`, major and minor in hexadecimal
   * as tc writes them. `net_cls.classid`
   */
  classId?: number | string
  /** Priority of what leaves by an interface, by its name. `net_prio.ifpriomap` */
  priorities?: Record<string, number>
}

/** {@link NetworkLimits}, checked. */
export interface CheckedNetwork {
  classId?: number
  priorities?: Record<string, number>
}

const hint =
  "v2 has no such controller: there nftables' socket cgroupv2 tells the group of a packet"

function classIdOption(option: string, value: unknown): number {
  const text = typeof value === 'string' ? value : ''
  const [, major, minor] = /^([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(text) ?? []
  if (major !== undefined && minor !== undefined)
    return Number.parseInt(major, 16) * 0x10000 + Number.parseInt(minor, 16)
  if (typeof value === 'number') return integerOption(option, value, 0, 0xffffffff)
  throw invalidOption(option, `${show(value)} is none; 0x100001 and '10:1' are`)
}

/** Class and priority of what is sent. */
export const network: LimitKind<CheckedNetwork> = {
  sources: [
    { controllers: ['net_cls'], files: () => ['net_cls.classid'] },
    { controllers: ['net_prio'], files: () => ['net_prio.ifpriomap'] },
  ],
  parse(option, value) {
    onlyKeys(option, value, ['classId', 'priorities'])
    const { classId, priorities } = value as NetworkLimits
    const checked: CheckedNetwork = {}
    if (classId !== undefined) checked.classId = classIdOption(`${option}.classId`, classId)
    if (priorities !== undefined) {
      objectOption(`${option}.priorities`, priorities)
      checked.priorities = {}
      for (const [name, priority] of Object.entries(priorities)) {
        const own = `${option}.priorities.${name}`
        checked.priorities[nameOption(own, name)] = integerOption(own, priority, 0, 0xffffffff)
      }
    }
    return checked
  },
  write(target, option, { classId, priorities }) {
    if (classId !== undefined)
      target
        .at(`${option}.classId`, ['net_cls'], hint)
        .write(`${option}.classId`, 'net_cls.classid', classId)
    for (const [name, priority] of Object.entries(priorities ?? {})) {
      const own = `${option}.priorities.${name}`
      target.at(own, ['net_prio'], hint).write(own, 'net_prio.ifpriomap', `${name} ${priority}`)
    }
  },
  read(told) {
    const map = told('net_prio.ifpriomap')
    const priorities: Record<string, number> = {}
    for (const [name, rest] of toldLines(map)) {
      const priority = toldNumber(rest)
      if (priority !== undefined && name !== '__proto__') priorities[name] = priority
    }
    return known<CheckedNetwork>({
      classId: toldNumber(told('net_cls.classid')),
      priorities: map === undefined ? undefined : priorities,
    })
  },
}
