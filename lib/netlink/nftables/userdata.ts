// What the kernel keeps for its users and does not look at: type, length and value, a byte, a byte
// and so many. By these nft(8) knows comments, and how to print the elements of sets.

/** Types of what stands in it, as libnftnl numbers them. */
export const udata = {
  comment: 0,
  setKeyOrder: 0,
  setDataOrder: 1,
  setComment: 7,
} as const

type Parts = readonly (readonly [type: number, value: Uint8Array])[]

/** The parts of it. What can't be read any more is left out: anybody may have written it. */
export function userdataParts(bytes: Uint8Array): Parts {
  const found: [number, Uint8Array][] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const end = at + 2 + (bytes[at + 1] as number)
    if (end > bytes.length) break
    found.push([bytes[at] as number, bytes.slice(at + 2, end)])
    at = end
  }
  return found
}

function fromParts(parts: Parts): Uint8Array | undefined {
  if (parts.length === 0) return undefined
  return Uint8Array.from(parts.flatMap(([type, value]) => [type, value.length, ...value]))
}

/** A comment has at most so many bytes; nft(8) takes no more. */
export const COMMENT_MAX = 128

/** What is kept besides, and the comment. Undefined when there is nothing. */
export function writeUserdata(
  comment: string | undefined,
  rest: Uint8Array | undefined,
  commentType: number = udata.comment,
): Uint8Array | undefined {
  if (comment === undefined) return rest?.length === 0 ? undefined : rest
  const parts = rest === undefined ? [] : userdataParts(rest)
  return fromParts([...parts, [commentType, Buffer.from(`${comment}\0`)]])
}

export function readUserdata(
  bytes: Uint8Array | undefined,
  commentType: number = udata.comment,
): { comment?: string; userdata?: Uint8Array } {
  if (bytes === undefined || bytes.length === 0) return {}
  const parts = userdataParts(bytes)
  const comment = parts.find(([type]) => type === commentType)?.[1]
  const userdata = fromParts(parts.filter(([type]) => type !== commentType))
  return {
    ...(comment === undefined ? {} : { comment: commentText(comment) }),
    ...(userdata === undefined ? {} : { userdata }),
  }
}

function commentText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8')
}

/** Orders of bytes as nft(8) numbers them. */
export function orderUserdata(
  key: 'host' | 'big',
  data: 'host' | 'big' | undefined,
): Uint8Array | undefined {
  const order = (value: 'host' | 'big') => Uint8Array.of(value === 'host' ? 1 : 2, 0, 0, 0)
  return fromParts([
    [udata.setKeyOrder, order(key)],
    ...(data === undefined ? [] : [[udata.setDataOrder, order(data)] as const]),
  ])
}
