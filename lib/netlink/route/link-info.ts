import {
  attribute,
  attributes,
  type Codec,
  eachAttribute,
  type Inside,
  bytes as octetsOf,
  text,
} from '../codec/index.js'
import { linkKinds, portKinds } from './kinds/index.js'
import type { Kind } from './kinds/kind.js'

/** What kind of device it is, and what its master's kind makes of it. */
export interface LinkInfo {
  readonly kind?: string | undefined
  /** As the kind has it, or as it is where the kind is not described here. */
  readonly data?: Record<string, unknown> | Uint8Array | undefined
  readonly portKind?: string | undefined
  readonly portData?: Record<string, unknown> | Uint8Array | undefined
}

const KIND = 1
const DATA = 2
const PORT_KIND = 4
const PORT_DATA = 5
const name = text()

function read(
  bytes: Buffer,
  from: number,
  to: number,
  kind: Kind | undefined,
): Record<string, unknown> | Uint8Array {
  if (kind === undefined) return octetsOf.read(bytes, from, to)
  return kind.toOptions(kind.data.read(bytes, from, to))
}

/** `Object.hasOwn`, as names come from the kernel, where anybody may have put them. */
function known(kinds: Readonly<Record<string, Kind>>, name: string | undefined): Kind | undefined {
  return name !== undefined && Object.hasOwn(kinds, name) ? kinds[name] : undefined
}

/** A device of this kind has only a name in its info; others have data, which the kind says how to write. */
function describe(kind: Kind | undefined, portKind: Kind | undefined) {
  return attributes({
    kind: attribute('IFLA_INFO_KIND', KIND, name),
    data: attribute('IFLA_INFO_DATA', DATA, kind?.data ?? octetsOf, { hidden: true }),
    portKind: attribute('IFLA_INFO_SLAVE_KIND', PORT_KIND, name),
    portData: attribute('IFLA_INFO_SLAVE_DATA', PORT_DATA, portKind?.data ?? octetsOf),
  })
}

const described = new Map<string, ReturnType<typeof describe>>()

function describedFor(kind: string | undefined, portKind: string | undefined) {
  const key = `${kind} ${portKind}`
  let found = described.get(key)
  if (found === undefined) {
    found = describe(known(linkKinds, kind), known(portKinds, portKind))
    // There are a few kinds, and any number of names that are none.
    if (described.size < 100) described.set(key, found)
  }
  return found
}

const inside: Inside = {
  nameOf: type => describedFor(undefined, undefined).inside.nameOf(type),
  fieldAt(bytes, start, end, offset) {
    const { kind, portKind } = linkInfo.read(bytes, start, end)
    return describedFor(kind, portKind).inside.fieldAt(bytes, start, end, offset)
  },
}

/** `IFLA_LINKINFO`: the kind's name, and what only the kind knows how to read. */
export const linkInfo: Codec<LinkInfo> = {
  read(bytes, start, end) {
    let kind: string | undefined
    let portKind: string | undefined
    let [dataFrom, dataTo, portFrom, portTo] = [-1, -1, -1, -1]
    eachAttribute(bytes, start, end, (type, from, to) => {
      if (type === KIND) kind = name.read(bytes, from, to)
      else if (type === PORT_KIND) portKind = name.read(bytes, from, to)
      else if (type === DATA) [dataFrom, dataTo] = [from, to]
      else if (type === PORT_DATA) [portFrom, portTo] = [from, to]
    })
    return {
      kind,
      data: dataFrom < 0 ? undefined : read(bytes, dataFrom, dataTo, known(linkKinds, kind)),
      portKind,
      portData:
        portFrom < 0 ? undefined : read(bytes, portFrom, portTo, known(portKinds, portKind)),
    }
  },
  write(to, value) {
    const { kind, portKind } = value
    describedFor(kind, portKind).write(to, value as never)
  },
  inside,
}
