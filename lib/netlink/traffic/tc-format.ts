import {
  attribute,
  attributes,
  bytes,
  format,
  s32,
  struct,
  text,
  u8,
  u32,
  u64,
} from '../codec/index.js'

/** struct tcmsg, linux/rtnetlink.h */
const header = struct({ family: u8, pad: 3, index: s32, handle: u32, parent: u32, info: u32 })

const statistics = attributes({
  basic: attribute('TCA_STATS_BASIC', 1, struct({ bytes: u64, packets: u32 })),
  rate: attribute('TCA_STATS_RATE_EST', 2, struct({ bytes: u32, packets: u32 })),
  queue: attribute(
    'TCA_STATS_QUEUE',
    3,
    struct({ packets: u32, backlog: u32, drops: u32, requeues: u32, overlimits: u32 }),
  ),
  packets: attribute('TCA_STATS_PKT64', 8, u64),
})

/** A qdisc, class or filter. What `options` holds depends on `kind`. */
export const tcFormat = format(
  header,
  attributes({
    kind: attribute('TCA_KIND', 1, text(16)),
    options: attribute('TCA_OPTIONS', 2, bytes),
    statistics: attribute('TCA_STATS2', 7, statistics),
    chain: attribute('TCA_CHAIN', 11, u32),
  }),
)

/** What the kernel has counted. */
export interface TrafficStatistics {
  /** That went through. */
  readonly bytes: bigint
  readonly packets: bigint
  /** That were thrown away. */
  readonly drops: bigint
  /** How often one had to wait. */
  readonly overlimits: bigint
  readonly requeues: bigint
  /** Packets that wait now. */
  readonly queued: number
  /** Bytes of them. */
  readonly backlog: number
}

type Counted = ReturnType<typeof statistics.read>

export function statisticsOf(counted: Counted = {}): TrafficStatistics {
  const { basic, queue, packets } = counted
  return {
    bytes: basic?.bytes ?? 0n,
    packets: packets ?? BigInt(basic?.packets ?? 0),
    drops: BigInt(queue?.drops ?? 0),
    overlimits: BigInt(queue?.overlimits ?? 0),
    requeues: BigInt(queue?.requeues ?? 0),
    queued: queue?.packets ?? 0,
    backlog: queue?.backlog ?? 0,
  }
}
