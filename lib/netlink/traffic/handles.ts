import { invalidOption, show } from '../../base/index.js'
import { type FixedCodec, u32 } from '../codec/index.js'

/**
 * What a qdisc, class or filter is called, or hangs from: `'1:'` is a qdisc, `'1:10'` a class of it
 * (numbers in base 16, as tc has them).
 */
export type Handle = string

/** `root`; `ingress` and `egress` of the qdiscs of these kinds, where filters hang. */
const named: Readonly<Record<string, number>> = {
  root: 0xffffffff,
  ingress: 0xfffffff2,
  egress: 0xfffffff3,
}
/** Parent of the qdiscs `ingress` and `clsact`: TC_H_INGRESS. */
export const INGRESS = 0xfffffff1
const names = new Map(Object.entries(named).map(([name, number]) => [number, name]))
names.set(INGRESS, 'ingress')

/** The number of a handle. tc(8): `HANDLE := { MAJOR: | MAJOR:MINOR }` */
export function parseHandle(option: string, handle: unknown): number {
  if (typeof handle === 'string') {
    const known = Object.hasOwn(named, handle) ? named[handle] : undefined
    if (known !== undefined) return known
    const match = /^([0-9a-f]{1,4}):([0-9a-f]{0,4})$/i.exec(handle)
    if (match !== null)
      return (Number.parseInt(match[1] as string, 16) * 0x10000 +
        (match[2] === '' ? 0 : Number.parseInt(match[2] as string, 16))) as number
  }
  throw invalidOption(option, `${show(handle)} is no handle; '1:', '1:10' or 'root' are`)
}

export function handleText(number: number): Handle {
  const name = names.get(number)
  if (name !== undefined) return name
  const minor = number & 0xffff
  return `${(number >>> 16).toString(16)}:${minor === 0 ? '' : minor.toString(16)}`
}

/** A handle where it stands in a message. */
export const handle: FixedCodec<Handle> = {
  size: 4,
  zero: handleText(0),
  at: (bytes, place) => handleText(u32.at(bytes, place)),
  put: (to, place, value) => u32.put(to, place, parseHandle(to.field, value)),
  read: (bytes, start, end) => handleText(u32.read(bytes, start, end)),
  write: (to, value) => u32.write(to, parseHandle(to.field, value)),
}
