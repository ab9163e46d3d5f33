import { isIPv6 } from 'node:net'
import { parseDuration, show } from '../../../base/index.js'
import { type Attributes, type FixedCodec, mapped, struct, u32 } from '../../codec/index.js'

/** What a kind of device, or a port of one, has besides what all devices have. */
export interface Kind {
  // biome-ignore lint/suspicious/noExplicitAny: each kind has values of its own
  readonly data: Attributes<any>
  /** What can be read only. */
  readonly readOnly: readonly string[]
  /** Options that are other devices: they are given by name or number, and written as numbers. */
  readonly devices: readonly string[]
  /** What is given, as it is written. */
  toData(options: Readonly<Record<string, unknown>>): Record<string, unknown>
  /** What was read, as it is told. */
  toOptions(data: Record<string, unknown>): Record<string, unknown>
}

const same = <T>(value: T) => value

/** Describes a kind. What is left out is: nothing of it. */
export function kind(
  // biome-ignore lint/suspicious/noExplicitAny: as above
  data: Attributes<any>,
  more: Partial<Omit<Kind, 'data'>> = {},
): Kind {
  return { data, readOnly: [], devices: [], toData: same, toOptions: same, ...more }
}

/** An attribute of its own has the address when it is one of IPv6: `remote6` beside `remote`. */
export function bothFamilies(...names: string[]): Pick<Kind, 'toData' | 'toOptions'> {
  const move = (from: Readonly<Record<string, unknown>>, moved: (name: string) => string) =>
    Object.fromEntries(
      Object.entries(from).map(([name, value]) => [
        names.includes(name.replace(/6$/, '')) && isIPv6(String(value)) ? moved(name) : name,
        value,
      ]),
    )
  return {
    toData: options => move(options, name => `${name}6`),
    toOptions: data => move(data, name => name.replace(/6$/, '')),
  }
}

/** Milliseconds, or what parseDuration() takes, where the kernel counts hundredths of seconds. */
export const hundredths: FixedCodec<number | string> = mapped<number, number | string>(
  u32,
  ticks => ticks * 10,
  (value, to) => Math.round(parseDuration(to.field, value) / 10),
)

/** {@link hundredths} of 64 bits. */
export function longHundredths(codec: FixedCodec<bigint>): FixedCodec<number | string> {
  return mapped<bigint, number | string>(
    codec,
    ticks => Number(ticks) * 10,
    (value, to) => BigInt(Math.round(parseDuration(to.field, value) / 10)),
  )
}

const pair = struct({ value: u32, mask: u32 })

/** Switches by their bits. When written those that are left out stay as they are. */
export function switches<const N extends Readonly<Record<string, number>>>(
  names: N,
): FixedCodec<{ readonly [K in keyof N]?: boolean }> {
  type Switches = { readonly [K in keyof N]?: boolean }
  const known = Object.entries(names)
  return mapped<{ value: number; mask: number }, Switches>(
    pair,
    ({ value }) =>
      Object.fromEntries(known.map(([name, bit]) => [name, (value & bit) !== 0])) as Switches,
    (given, to) => {
      if (typeof given !== 'object' || given === null)
        throw to.refuse(`${show(given)} is no object`)
      const out = { value: 0, mask: 0 }
      for (const [name, on] of Object.entries(given)) {
        const bit = Object.hasOwn(names, name) ? names[name] : undefined
        if (bit === undefined)
          throw to.refuse(`there is no ${name} in it; there are ${Object.keys(names).join(', ')}`)
        if (typeof on !== 'boolean') throw to.refuse(`${show(on)} is not true or false`)
        out.mask |= bit
        if (on) out.value |= bit
      }
      return out
    },
  )
}
