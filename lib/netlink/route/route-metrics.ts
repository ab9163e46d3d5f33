import {
  attribute,
  attributes,
  type Codec,
  type FixedCodec,
  flagSet,
  text,
  u32,
  type ValueOf,
} from '../codec/index.js'

/** A number that the kernel has in parts of what people say. */
function parts(of: number): Codec<number> {
  return {
    read: (bytes, start, end) => u32.read(bytes, start, end) / of,
    write: (to, value) => u32.write(to, typeof value === 'number' ? Math.round(value * of) : value),
  }
}

/** 0 and 1 in four bytes. */
const bool32: Codec<boolean> = {
  read: (bytes, start, end) => u32.read(bytes, start, end) !== 0,
  write(to, value) {
    if (typeof value !== 'boolean') throw to.refuse('must be true or false')
    u32.write(to, value ? 1 : 0)
  },
}

/** Bits are of the numbers of the metrics below. */
const locked: FixedCodec<readonly (string | number)[]> = flagSet(
  {
    mtu: 1 << 2,
    window: 1 << 3,
    rtt: 1 << 4,
    rttVariance: 1 << 5,
    slowStartThreshold: 1 << 6,
    congestionWindow: 1 << 7,
    advertisedMss: 1 << 8,
    reordering: 1 << 9,
    hopLimit: 1 << 10,
    initialCongestionWindow: 1 << 11,
    rtoMin: 1 << 13,
    initialReceiveWindow: 1 << 14,
    quickAck: 1 << 15,
    congestionControl: 1 << 16,
  },
  u32,
)

const features = flagSet({ ecn: 1, sack: 2, timestamps: 4, allfrag: 8, tcpUsecTs: 16 }, u32)

/** linux/rtnetlink.h RTAX_* */
export const routeMetrics = attributes({
  lock: attribute('RTAX_LOCK', 1, locked),
  mtu: attribute('RTAX_MTU', 2, u32),
  window: attribute('RTAX_WINDOW', 3, u32),
  rtt: attribute('RTAX_RTT', 4, parts(8)),
  rttVariance: attribute('RTAX_RTTVAR', 5, parts(4)),
  slowStartThreshold: attribute('RTAX_SSTHRESH', 6, u32),
  congestionWindow: attribute('RTAX_CWND', 7, u32),
  advertisedMss: attribute('RTAX_ADVMSS', 8, u32),
  reordering: attribute('RTAX_REORDERING', 9, u32),
  hopLimit: attribute('RTAX_HOPLIMIT', 10, u32),
  initialCongestionWindow: attribute('RTAX_INITCWND', 11, u32),
  features: attribute('RTAX_FEATURES', 12, features),
  rtoMin: attribute('RTAX_RTO_MIN', 13, u32),
  initialReceiveWindow: attribute('RTAX_INITRWND', 14, u32),
  quickAck: attribute('RTAX_QUICKACK', 15, bool32),
  congestionControl: attribute('RTAX_CC_ALGO', 16, text(16)),
  fastOpenWithoutCookie: attribute('RTAX_FASTOPEN_NO_COOKIE', 17, bool32),
})

/**
 * What is known of the way along a route, mostly for TCP: `rtt`, `rttVariance` and `rtoMin` in
 * milliseconds, windows and thresholds in packets, `mtu` and `advertisedMss` in bytes. Those in
 * `lock` are not changed by what is learnt. ip-route(8)
 */
export type RouteMetrics = ValueOf<typeof routeMetrics>
