import { invalidOption } from './errors.js'
import { show } from './options.js'

// Names in the kernel are bytes. Those that are no UTF-8 are kept as Python
// keeps them (PEP 383): each byte that is none as half of a surrogate pair,
// U+DC80 to U+DCFF, which no text has by itself.

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Text of bytes, each of which is one character of a string; what is no UTF-8 is kept. */
export function fromBinary(binary: string): string {
  return /[\x80-\xff]/.test(binary) ? fromBytes(Buffer.from(binary, 'latin1')) : binary
}

/**
 * Text of a name as the kernel has it. A byte that is no UTF-8 becomes a
 * character from U+DC80 to U+DCFF, as Python's `os.fsdecode()` has it;
 * {@link toBytes} gives it back.
 */
export function fromBytes(bytes: Uint8Array): string {
  if (!(bytes instanceof Uint8Array)) throw invalidOption('bytes', `${show(bytes)} is no bytes`)
  try {
    return utf8.decode(bytes)
  } catch {
    let text = ''
    for (let at = 0; at < bytes.length; ) {
      const size = characterSize(bytes, at)
      text +=
        size === 0
          ? String.fromCharCode(0xdc00 + (bytes[at] as number))
          : utf8.decode(bytes.subarray(at, at + size))
      at += size || 1
    }
    return text
  }
}

/** How many bytes of UTF-8 the character at this place has; 0 when it is none. RFC 3629, 4 */
function characterSize(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number
  if (first < 0x80) return 1
  const size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  const second = bytes[at + 1] ?? 0
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (size === 0 || second < least || second > most) return 0
  for (let i = 2; i < size; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0
  return size
}

/**
 * Bytes of a text that this module gave, for Node's functions, which take a
 * path as a `Buffer` too: `readdirSync(toBytes(mount.mountPoint))`. The
 * opposite of {@link fromBytes}.
 */
export function toBytes(text: string): Buffer {
  if (typeof text !== 'string') throw invalidOption('text', `${show(text)} is no text`)
  if (!/[\ud800-\udfff]/.test(text)) return Buffer.from(text)
  const parts: Uint8Array[] = []
  for (const character of text) {
    const code = character.charCodeAt(0)
    const escaped = character.length === 1 && code >= 0xdc80 && code <= 0xdcff
    parts.push(escaped ? Uint8Array.of(code & 0xff) : encoder.encode(character))
  }
  return Buffer.concat(parts)
}

/** Undoes the escapes of a name, `\040` and so on; mangle() of the kernel, fs/proc_namespace.c. */
export function unmangle(binary: string): string {
  let result = ''
  let copied = 0
  for (let at = binary.indexOf('\\'); at >= 0; at = binary.indexOf('\\', at + 1)) {
    const value = octalAt(binary, at + 1)
    if (value < 0) continue
    result += binary.slice(copied, at) + String.fromCharCode(value)
    copied = at + 4
  }
  return copied === 0 ? binary : result + binary.slice(copied)
}

/** A byte as three octal digits; -1 where there are none. */
function octalAt(text: string, at: number): number {
  let value = 0
  for (let i = at; i < at + 3; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (!(digit >= 0 && digit <= 7)) return -1
    value = value * 8 + digit
  }
  return value <= 0xff ? value : -1
}
