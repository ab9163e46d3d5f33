import { show } from '../../base/index.js'
import {
  type Attributes,
  aligned,
  attribute,
  attributes,
  type Codec,
  flagSet,
  ip,
  malformed,
  s32,
  struct,
  u8,
  u16,
  u32,
} from '../codec/index.js'
import { families } from './families.js'

/** linux/rtnetlink.h RTNH_F_* */
export const nexthopFlags = {
  dead: 1,
  pervasive: 2,
  onlink: 4,
  offload: 8,
  linkdown: 16,
  unresolved: 32,
  trap: 64,
} as const

/** struct rtvia: the family, and an address of it. */
export const via: Codec<string> = {
  read(bytes, start, end) {
    if (end - start < 6) throw malformed(`${end - start} bytes where a family and address are`)
    return ip.read(bytes, start + 2, end)
  },
  write(to, value) {
    const at = to.reserve(2)
    ip.write(to, value)
    to.bytes.writeUInt16LE(to.length - at === 6 ? families.inet : families.inet6, at)
  },
}

/** struct rtnexthop; its length is that of what follows, too. */
const header = struct({ length: u16, flags: flagSet(nexthopFlags, u8), hops: u8, device: s32 })

const parts = attributes({
  gateway: attribute('RTA_GATEWAY', 5, ip),
  flow: attribute('RTA_FLOW', 11, u32),
  via: attribute('RTA_VIA', 18, via),
})
type Parts = typeof parts extends Attributes<infer T> ? T : never

/** One way of several, as the kernel has it: `hops` is the weight less one. */
export interface RawNexthop extends Parts {
  flags?: readonly (keyof typeof nexthopFlags | number)[]
  hops?: number
  device?: number
}

function eachNexthop(
  bytes: Buffer,
  start: number,
  end: number,
  each: (at: number, to: number) => void,
): void {
  for (let at = start; end - at >= header.size; ) {
    const length = bytes.readUInt16LE(at)
    if (length < header.size || length > end - at)
      throw malformed(`a next hop of ${length} bytes where there are ${end - at}`)
    each(at, at + length)
    at += aligned(length)
  }
}

/** RTA_MULTIPATH: structs, each with attributes of its own. */
export const nexthops: Codec<readonly RawNexthop[]> = {
  read(bytes, start, end) {
    const found: RawNexthop[] = []
    eachNexthop(bytes, start, end, (at, to) => {
      const { flags, hops, device } = header.at(bytes, at)
      const one = { flags, hops, device }
      parts.into(one, bytes, at + header.size, to)
      found.push(one)
    })
    return found
  },
  write(to, value) {
    if (!Array.isArray(value)) throw to.refuse(`${show(value)} is no list`)
    for (const [i, { flags, hops, device, ...rest }] of (value as RawNexthop[]).entries()) {
      to.enter(`${i}`)
      const at = to.length
      header.write(to, {
        ...(flags && { flags }),
        ...(hops !== undefined && { hops }),
        ...(device !== undefined && { device }),
      })
      parts.write(to, rest)
      if (to.length - at > 0xffff) throw to.refuse('is longer than 65535 bytes')
      to.bytes.writeUInt16LE(to.length - at, at)
      to.leave()
    }
  },
  inside: {
    nameOf: parts.inside.nameOf,
    fieldAt(bytes, start, end, offset) {
      let found: string[] = []
      let i = 0
      eachNexthop(bytes, start, end, (at, to) => {
        if (offset >= at && offset < to)
          found = [`[${i}]`, ...parts.inside.fieldAt(bytes, at + header.size, to, offset)]
        i++
      })
      return found
    },
  },
}
