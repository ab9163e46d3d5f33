import { isIPv4, isIPv6 } from 'node:net'
import { invalidOption, show } from '../../base/index.js'
import { oneOf, u8 } from '../codec/index.js'

/** Version 4 or 6 of the Internet Protocol, as `ip -family` names them. */
export type Family = 'inet' | 'inet6'

/** The families that messages speak of. linux/socket.h */
export const families = { unspecified: 0, inet: 2, bridge: 7, inet6: 10 } as const

/** A family as it stands in the headers of messages. */
export const family = oneOf(families, u8)

/** Bits of an address. */
export function bitsOf(of: Family): number {
  return of === 'inet' ? 32 : 128
}

/** An address with the length of its prefix. */
export interface Prefix {
  readonly family: Family
  readonly address: string
  readonly length: number
}

/** The family of an address that stands in an option. */
export function addressOption(option: string, value: unknown): Family {
  if (typeof value === 'string' && isIPv4(value)) return 'inet'
  if (typeof value === 'string' && isIPv6(value) && !value.includes('%')) return 'inet6'
  throw invalidOption(option, `${show(value)} is no address of IPv4 or IPv6`)
}

/** Such as `'10.0.0.1/24'`; without a length it is one address, all bits of it. */
export function prefixOption(option: string, value: unknown): Prefix {
  const [, address, digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(`${value}`) ?? []
  const of = addressOption(option, typeof value === 'string' ? (address ?? value) : value)
  const most = bitsOf(of)
  const length = digits === undefined ? most : Number(digits)
  if (length > most) throw invalidOption(option, `${show(value)} has a prefix of over ${most} bits`)
  return { family: of, address: address as string, length }
}

/** `inet`, `inet6`, or, left out, both of them. */
export function familiesOption(option: string, value: unknown): readonly Family[] {
  if (value === undefined) return ['inet', 'inet6']
  return [familyOption(option, value)]
}

/** `inet` or `inet6`. */
export function familyOption(option: string, value: unknown): Family {
  if (value === 'inet' || value === 'inet6') return value
  throw invalidOption(option, `${show(value)} is none; inet and inet6 are`)
}

/** That all addresses of one request are of one family. */
export function sameFamily(wanted: Family, option: string, found: Family): void {
  if (wanted !== found) throw invalidOption(option, `is of ${found}, and the rest is of ${wanted}`)
}

/** The family that a message was read to have; others are nobody's here. */
export function familyIn(found: string | number | undefined): Family | undefined {
  return found === 'inet' || found === 'inet6' ? found : undefined
}
