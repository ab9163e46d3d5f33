import { endianness } from 'node:os'
import { fromBytes, type Propagation } from '../base/index.js'
import type { MountIdMapping, StatMount } from './statmount.js'

// struct statmount of linux/mount.h: numbers at fixed places, and texts behind
// them, each at an offset that is one of the numbers.

/** STATMOUNT_*: which of them are asked for, and were answered. */
const STATMOUNT = {
  SB_BASIC: 0x1n,
  MNT_BASIC: 0x2n,
  PROPAGATE_FROM: 0x4n,
  MNT_ROOT: 0x8n,
  MNT_POINT: 0x10n,
  FS_TYPE: 0x20n,
  MNT_NS_ID: 0x40n,
  MNT_OPTS: 0x80n,
  FS_SUBTYPE: 0x100n,
  SB_SOURCE: 0x200n,
  OPT_ARRAY: 0x400n,
  OPT_SEC_ARRAY: 0x800n,
  SUPPORTED_MASK: 0x1000n,
  MNT_UIDMAP: 0x2000n,
  MNT_GIDMAP: 0x4000n,
} as const

const idMaps = STATMOUNT.MNT_UIDMAP | STATMOUNT.MNT_GIDMAP

/** What is asked for of every mount, and of one that is idmapped. A kernel leaves out what it does not know. */
export const fields = { all: 0x1fffn, idMaps } as const

export const MOUNT_ATTR_IDMAP = 0x100000n

/**
 * Words of show_mnt_opts() of the kernel's fs/proc_namespace.c in its order, each
 * with the attributes that decide and what they are then: MOUNT_ATTR_RELATIME is 0.
 */
const words: readonly (readonly [mask: bigint, value: bigint, word: string])[] = [
  [0x1n, 0x0n, 'rw'],
  [0x1n, 0x1n, 'ro'],
  [0x2n, 0x2n, 'nosuid'],
  [0x4n, 0x4n, 'nodev'],
  [0x8n, 0x8n, 'noexec'],
  [0x70n, 0x10n, 'noatime'],
  [0x80n, 0x80n, 'nodiratime'],
  [0x70n, 0x0n, 'relatime'],
  [0x200000n, 0x200000n, 'nosymfollow'],
  [MOUNT_ATTR_IDMAP, MOUNT_ATTR_IDMAP, 'idmapped'],
]

/** mount(2) */
const MS_UNBINDABLE = 1n << 17n

/** Where the texts begin. */
const TEXTS = 512

const little = endianness() === 'LE'

/** Of any bytes; what lies outside of them is 0, or an empty text. */
export function decodeStatMount(bytes: Uint8Array): StatMount {
  const reader = new Reader(bytes)
  const mask = reader.u64(8)
  const has = (field: keyof typeof STATMOUNT) => (mask & STATMOUNT[field]) !== 0n
  const attributes = reader.u64(64)
  return {
    id: reader.u64(40),
    parent: reader.u64(48),
    oldId: reader.u32(56),
    oldParent: reader.u32(60),
    ...(has('MNT_NS_ID') && { namespace: reader.u64(112) }),
    major: reader.u32(16),
    minor: reader.u32(20),
    magic: reader.u64(24),
    superFlags: reader.u32(32),
    attributes,
    options: optionsOf(attributes),
    propagation: propagationOf(reader, has('PROPAGATE_FROM')),
    ...(has('MNT_ROOT') && { root: reader.text(104) }),
    ...(has('MNT_POINT') && { mountPoint: reader.text(108) }),
    ...(has('FS_TYPE') && { fsType: reader.text(36) }),
    ...(has('FS_SUBTYPE') && { fsSubtype: reader.text(120) }),
    ...(has('SB_SOURCE') && { source: reader.text(124) }),
    ...(has('MNT_OPTS') && { superOptions: reader.text(4) }),
    ...(has('OPT_ARRAY') && { optionList: reader.texts(128) }),
    ...(has('OPT_SEC_ARRAY') && { securityOptions: reader.texts(136) }),
    ...(has('MNT_UIDMAP') && { uidMappings: mappings(reader.texts(152)) }),
    ...(has('MNT_GIDMAP') && { gidMappings: mappings(reader.texts(160)) }),
    ...(has('SUPPORTED_MASK') && { supported: reader.u64(144) }),
  }
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  u32(at: number): number {
    return at + 4 <= this.#bytes.length ? this.#view.getUint32(at, little) : 0
  }

  u64(at: number): bigint {
    return at + 8 <= this.#bytes.length ? this.#view.getBigUint64(at, little) : 0n
  }

  /** The text whose offset is the number at this place. */
  text(at: number): string {
    return this.#textAt(TEXTS + this.u32(at)).text
  }

  /** Several, behind one another: how many, and then the offset of the first. */
  texts(at: number): string[] {
    const texts: string[] = []
    let next = TEXTS + this.u32(at + 4)
    for (let left = this.u32(at); left > 0 && next < this.#bytes.length; left--) {
      const { text, end } = this.#textAt(next)
      texts.push(text)
      next = end + 1
    }
    return texts
  }

  #textAt(from: number): { text: string; end: number } {
    const found = this.#bytes.indexOf(0, from)
    const end = found < 0 ? this.#bytes.length : found
    return { text: fromBytes(this.#bytes.subarray(from, end)), end }
  }
}

function optionsOf(attributes: bigint): string {
  return words
    .filter(([mask, value]) => (attributes & mask) === value)
    .map(([, , word]) => word)
    .join()
}

function propagationOf(reader: Reader, hasFrom: boolean): Propagation {
  const shared = Number(reader.u64(80))
  const master = Number(reader.u64(88))
  const from = hasFrom ? Number(reader.u64(96)) : 0
  return {
    ...(shared !== 0 && { shared }),
    ...(master !== 0 && { master }),
    ...(from !== 0 && from !== master && { propagateFrom: from }),
    unbindable: (reader.u64(72) & MS_UNBINDABLE) !== 0n,
  }
}

function mappings(lines: readonly string[]): MountIdMapping[] {
  return lines.flatMap(line => {
    const match = /^(\d+) (\d+) (\d+)$/.exec(line)
    if (match === null) return []
    return [{ containerId: Number(match[1]), hostId: Number(match[2]), size: Number(match[3]) }]
  })
}
