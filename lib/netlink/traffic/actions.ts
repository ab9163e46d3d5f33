import { invalidOption, onlyKeys, parseSize, type Size, show } from '../../base/index.js'
import {
  attribute,
  attributes,
  bytes,
  list,
  oneOf,
  s32,
  struct,
  text,
  u32,
  u64,
} from '../codec/index.js'
import type { Device } from '../route/link-options.js'
import { decoded, encoded, type Kind, readKind, writeKind } from './kind.js'
import { rateOf, rateSpec, rateTable, specOf, wideOf } from './rates.js'
import { bytesPerSecond, type Rate, sizeOf, ticksOf, type Verdict, verdict } from './values.js'

/** Sends a packet elsewhere (`redirect`), or a copy of it (`mirror`). tc-mirred(8) */
export interface MirredAction {
  kind: 'mirred'
  action: 'redirect' | 'mirror'
  /** As if `device` sent it (`egress`, the default), or received it (`ingress`). */
  direction?: 'egress' | 'ingress'
  /** Name or number; listed as its number. */
  device: Device
}

/** Passes a packet, drops it and so on. tc-actions(8) */
export interface GenericAction {
  kind: 'gact'
  action: Verdict
}

/** What exceeds a rate is dropped, or what else is said. tc-police(8) */
export interface PoliceAction {
  kind: 'police'
  rate: Rate
  burst: Size
  /** The greatest packet that is reckoned with. Default: none is too great. */
  mtu?: Size
  /** What becomes of the rest. Default: `drop`. */
  exceed?: Verdict
}

/** What is done with a packet that a filter finds. */
export type Action = MirredAction | GenericAction | PoliceAction

const generic = { index: u32, capabilities: u32, action: verdict, references: s32, bindings: s32 }

const directions = { egressRedirect: 1, egressMirror: 2, ingressRedirect: 3, ingressMirror: 4 }
const mirredCodec = attributes({
  parameters: attribute(
    'TCA_MIRRED_PARMS',
    2,
    struct({ ...generic, way: oneOf(directions, s32), device: u32 }),
  ),
})

const mirred: Kind = {
  write(option, options) {
    onlyKeys(option, options, ['kind', 'action', 'direction', 'device'])
    const { action, direction = 'egress', device } = options as MirredAction
    if (action !== 'redirect' && action !== 'mirror')
      throw invalidOption(`${option}.action`, `${show(action)} is none; redirect, mirror are`)
    if (direction !== 'egress' && direction !== 'ingress')
      throw invalidOption(`${option}.direction`, `${show(direction)} is none; egress, ingress are`)
    const way = `${direction}${action === 'redirect' ? 'Redirect' : 'Mirror'}` as const
    return encoded(option, mirredCodec, {
      parameters: {
        way,
        device: device as number,
        // Who has been redirected is gone, of who has been mirrored there is more to say.
        action: action === 'redirect' ? 'stolen' : 'pipe',
      },
    })
  },
  read(from) {
    const { way = 1, device = 0 } = decoded(mirredCodec, from).parameters ?? {}
    return {
      action: `${way}`.endsWith('Mirror') ? 'mirror' : 'redirect',
      direction: `${way}`.startsWith('ingress') ? 'ingress' : 'egress',
      device,
    }
  },
}

const gactCodec = attributes({ parameters: attribute('TCA_GACT_PARMS', 2, struct(generic)) })

const gact: Kind = {
  write(option, options) {
    onlyKeys(option, options, ['kind', 'action'])
    const { action } = options as GenericAction
    return encoded(option, gactCodec, { parameters: { action } })
  },
  read: from => ({ action: decoded(gactCodec, from).parameters?.action ?? 'pass' }),
}

/** struct tc_police, linux/pkt_cls.h */
const policing = struct({
  index: u32,
  action: verdict,
  limit: u32,
  burst: u32,
  mtu: u32,
  rate: rateSpec,
  peakRate: rateSpec,
  references: s32,
  bindings: s32,
  capabilities: u32,
})
const policeCodec = attributes({
  parameters: attribute('TCA_POLICE_TBF', 1, policing),
  table: attribute('TCA_POLICE_RATE', 2, bytes),
  rate: attribute('TCA_POLICE_RATE64', 8, u64),
})
/** For tc's table, when no greatest packet is given. */
const USUAL_MTU = 2047

const police: Kind = {
  write(option, options) {
    onlyKeys(option, options, ['kind', 'rate', 'burst', 'mtu', 'exceed'])
    const { rate: given, burst: size, mtu, exceed = 'drop' } = options as PoliceAction
    const rate = bytesPerSecond(`${option}.rate`, given)
    const burst = parseSize(`${option}.burst`, size, 1)
    const most = mtu === undefined ? 0 : parseSize(`${option}.mtu`, mtu, 1)
    const table = rateTable(`${option}.rate`, rate, most || USUAL_MTU)
    return encoded(option, policeCodec, {
      parameters: {
        action: exceed,
        burst: ticksOf(`${option}.burst`, burst, rate),
        mtu: most,
        rate: { ...specOf(rate), cellLog: table.cellLog, cellAlign: -1 },
      },
      table: table.bytes,
      rate: wideOf(rate),
    })
  },
  read(from) {
    const { parameters: said, rate: wide } = decoded(policeCodec, from)
    const rate = rateOf(said?.rate, wide)
    return {
      rate: rate * 8,
      burst: sizeOf(said?.burst ?? 0, rate),
      ...(said?.mtu ? { mtu: said.mtu } : {}),
      exceed: said?.action ?? 'drop',
    }
  },
}

const kinds = { mirred, gact, police }

const entry = attributes({
  kind: attribute('TCA_ACT_KIND', 1, text(16)),
  options: attribute('TCA_ACT_OPTIONS', 2, bytes),
})

/** Actions of a filter, in their order. */
export const actionList = list(entry)
type Entries = ReturnType<typeof actionList.read>

export function writeActions(
  option: string,
  actions: readonly Action[] | undefined,
): Entries | undefined {
  if (actions === undefined) return undefined
  if (!Array.isArray(actions)) throw invalidOption(option, `${show(actions)} is no list of actions`)
  return (actions as readonly Action[]).map((action, i) => ({
    kind: action?.kind,
    options: writeKind(kinds, `${option}.${i}`, action ?? {}),
  }))
}

export function readActions(entries: Entries | undefined): { actions?: Action[] } {
  if (entries === undefined) return {}
  const found = entries.map(({ kind = '', options }) => readKind<Action>(kinds, kind, options))
  return { actions: found.filter(action => action !== undefined) }
}

/** The same actions, with the numbers of their devices. */
export async function resolved(
  option: string,
  actions: readonly Action[] | undefined,
  indexOf: (option: string, device: Device) => Promise<number>,
): Promise<readonly Action[] | undefined> {
  if (!Array.isArray(actions)) return actions
  return Promise.all(
    (actions as readonly Action[]).map(async (action, i) => {
      if (action?.kind !== 'mirred') return action
      const name = `${option}.${i}.device`
      return { ...action, device: await indexOf(name, action.device) }
    }),
  )
}
