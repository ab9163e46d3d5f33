import {
  MOST as ATTRIBUTE_MOST,
  HEADER,
  NLA_F_NESTED,
  putHeader,
} from '../codec/attribute-header.js'
import {
  aligned,
  attribute,
  attributes,
  be32,
  bytes,
  type Codec,
  type Message,
  text,
  Writer,
} from '../codec/index.js'
import { elementCodec, elementsFormat, type WireElement } from './elements.js'
import type { Family, MessageName } from './names.js'
import { nfFormat, nfMessage } from './wire.js'

/** The set that elements belong to. */
export interface ElementsPlace {
  readonly family: Family
  readonly table: string
  readonly set: string
  readonly setId?: number | undefined
}

/** An attribute is shorter than 64 KiB, of which the list's own header is a part. */
const MOST = ATTRIBUTE_MOST - HEADER
const NFTA_LIST_ELEM = 1
const NFTA_SET_ELEM_KEY = 1
const NFTA_DATA_VALUE = 1

const written: Codec<Uint8Array> = {
  ...bytes,
  inside: { nameOf: () => undefined, fieldAt: () => [] },
}

/** As elementsFormat, of elements that have been written. */
const writtenFormat = nfFormat(
  attributes({
    table: attribute('NFTA_SET_ELEM_LIST_TABLE', 1, text(256)),
    set: attribute('NFTA_SET_ELEM_LIST_SET', 2, text(256)),
    setId: attribute('NFTA_SET_ELEM_LIST_SET_ID', 4, be32),
    elements: attribute('NFTA_SET_ELEM_LIST_ELEMENTS', 3, written),
  }),
)

/**
 * Messages with elements, so many in each as fit into one attribute. There may be a hundred
 * thousand of them, so that those that are nothing but a key are written without a detour.
 */
export function elementMessages(
  name: MessageName,
  flags: number,
  place: ElementsPlace,
  elements: readonly WireElement[],
): Message[] {
  const { family, ...body } = place
  const messages: Message[] = []
  const to = new Writer()
  let from = 0
  const flush = (end: number) => {
    if (end === from) return
    const message = nfMessage(name, family, flags, writtenFormat, {
      ...body,
      elements: to.bytes.subarray(from, end),
    })
    messages.push({ ...message, inside: elementsFormat.inside })
    from = end
  }
  for (const element of elements) {
    const before = to.length
    if (isKey(element)) writeKey(to, element.key)
    else writeElement(to, element)
    if (to.length - from > MOST) flush(before)
  }
  flush(to.length)
  return messages
}

function isKey(element: WireElement): element is { key: Uint8Array } {
  for (const name in element) if (name !== 'key') return false
  return element.key !== undefined
}

function writeKey(to: Writer, key: Uint8Array): void {
  const place = to.reserve(3 * HEADER + aligned(key.length))
  const out = to.bytes
  putHeader(out, place, 3 * HEADER + aligned(key.length), NFTA_LIST_ELEM | NLA_F_NESTED)
  putHeader(out, place + 4, 2 * HEADER + aligned(key.length), NFTA_SET_ELEM_KEY | NLA_F_NESTED)
  putHeader(out, place + 8, HEADER + key.length, NFTA_DATA_VALUE)
  for (let i = 0; i < key.length; i++) out[place + 12 + i] = key[i] as number
}

function writeElement(to: Writer, element: WireElement): void {
  const place = to.reserve(HEADER)
  elementCodec.write(to, element as Parameters<typeof elementCodec.write>[1])
  const length = to.length - place
  if (length > MOST)
    throw to.refuse(`an element of ${length} bytes; an attribute has at most ${MOST}`)
  putHeader(to.bytes, place, length, NFTA_LIST_ELEM | NLA_F_NESTED)
}
