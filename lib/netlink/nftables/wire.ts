import {
  type Attributes,
  attribute,
  attributes,
  be16,
  be32,
  type Format,
  format,
  type Message,
  message,
  messageFlags,
  struct,
  text,
  u8,
} from '../codec/index.js'
import {
  type Family,
  families,
  type MessageName,
  messages,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
} from './names.js'

/** struct nfgenmsg */
const nfHeader = struct({ family: u8, version: u8, resource: be16 })

const NAMES: ReadonlyMap<number, Family> = new Map(
  Object.entries(families).map(([name, number]) => [number, name as Family]),
)

/** The name of a family; one that nobody has heard of is taken for the one that all are in. */
export function familyName(number: number | undefined): Family {
  return NAMES.get(number ?? 0) ?? 'inet'
}

export function nfFormat<A>(described: Attributes<A>): Format<{ family?: number } & A> {
  return format(nfHeader, described) as unknown as Format<{ family?: number } & A>
}

/** A message of nf_tables. */
export function nfMessage<A>(
  name: MessageName,
  family: Family | 'unspec',
  flags: number,
  body: Format<{ family?: number } & A>,
  value: A,
): Message {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | messages[name]
  return message(name, type, flags, body, { family: families[family], ...value })
}

const edge = format(nfHeader, attributes({ generation: attribute('NFNL_BATCH_GENID', 1, be32) }))

/**
 * Puts what begins and ends a batch around messages.
 *
 * @param generation The kernel refuses it (`ERESTART`) if its rules are not of this generation.
 */
export function enclosed(changes: readonly Message[], generation?: number): Message[] {
  const { REQUEST } = messageFlags
  const resource = NFNL_SUBSYS_NFTABLES
  return [
    message('NFNL_MSG_BATCH_BEGIN', NFNL_MSG_BATCH_BEGIN, REQUEST, edge, { resource, generation }),
    ...changes,
    message('NFNL_MSG_BATCH_END', NFNL_MSG_BATCH_END, REQUEST, edge, { resource }),
  ]
}

/** What the kernel says of its rules as a whole. */
export const generationFormat = nfFormat(
  attributes({
    generation: attribute('NFTA_GEN_ID', 1, be32),
    pid: attribute('NFTA_GEN_PROC_PID', 2, be32),
    process: attribute('NFTA_GEN_PROC_NAME', 3, text()),
  }),
)
