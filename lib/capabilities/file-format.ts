import {
  CofferdamError,
  flagOption,
  idOption,
  invalidOption,
  onlyKeys,
  show,
} from '../base/index.js'
import { type CapabilityName, type CapabilitySet, fromBits, toBits } from './names.js'

/** What a file gives to whoever executes it; capabilities(7), "File capabilities". */
export interface FileCapabilities {
  /** What the program gets, as far as the bounding set allows it. */
  permitted: CapabilityName[]
  /** What it gets of what is inheritable for the thread already. */
  inheritable: CapabilityName[]
  /** Whether it has them in effect at once. It is one bit, for all of them. */
  effective: boolean
  /**
   * Only for user namespaces whose root is this user, as this program's user
   * namespace has it, and for those below them. Undefined: anywhere.
   */
  rootId?: number
}

/** {@link FileCapabilities} as options. */
export interface FileCapabilityOptions {
  /** Default: none. */
  permitted?: CapabilitySet
  /** Default: none. */
  inheritable?: CapabilitySet
  /** Default: false. */
  effective?: boolean
  /** A user's id, 0 to 2^32 - 2. */
  rootId?: number
}

// linux/capability.h, struct vfs_cap_data and vfs_ns_cap_data: always little-endian.
const SIZES: Readonly<Record<number, number>> = { 1: 12, 2: 20, 3: 24 }
const EFFECTIVE = 1

/**
 * Reads the value of the extended attribute `security.capability`: version 1 of
 * Linux 2.6.24, 2 of 2.6.25, or 3 of 4.14, which has the root's id.
 *
 * @throws CofferdamError `EBADMSG` for what is none of these; `ERR_INVALID_OPTION` for
 * what is no bytes.
 */
export function parseFileCapabilities(value: Uint8Array): FileCapabilities {
  if (!(value instanceof Uint8Array)) throw invalidOption('value', `${show(value)} is no bytes`)
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const wrong = (problem: string) =>
    new CofferdamError(`security.capability ${problem}`, { code: 'EBADMSG' })
  if (bytes.length < 4) throw wrong(`has only ${bytes.length} bytes`)
  const magic = bytes.readUInt32LE(0)
  const version = magic >>> 24
  const size = SIZES[version]
  if (size === undefined) throw wrong(`is of version ${version}`)
  if (bytes.length !== size) throw wrong(`has ${bytes.length} bytes; version ${version} ${size}`)
  const wide = version > 1
  const set = (at: number) => {
    const high = wide ? BigInt(bytes.readUInt32LE(at + 8)) : 0n
    return fromBits(BigInt(bytes.readUInt32LE(at)) | (high << 32n))
  }
  return {
    permitted: set(4),
    inheritable: set(8),
    effective: (magic & EFFECTIVE) !== 0,
    ...(version === 3 ? { rootId: bytes.readUInt32LE(20) } : {}),
  }
}

/**
 * Writes it: version 3 if there is a `rootId`, otherwise 2.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`, as for `capabilities.permitted`.
 */
export function formatFileCapabilities(capabilities: FileCapabilityOptions): Buffer {
  onlyKeys('capabilities', capabilities, ['permitted', 'inheritable', 'effective', 'rootId'])
  const { rootId } = capabilities
  if (rootId !== undefined) idOption('capabilities.rootId', rootId)
  const version = rootId === undefined ? 2 : 3
  const effective = flagOption('capabilities.effective', capabilities.effective, false)
  const bytes = Buffer.alloc(SIZES[version] as number)
  bytes.writeUInt32LE(((version << 24) | (effective ? EFFECTIVE : 0)) >>> 0, 0)
  for (const [at, name] of [
    [4, 'permitted'],
    [8, 'inheritable'],
  ] as const) {
    const bits = toBits(`capabilities.${name}`, capabilities[name] ?? [])
    bytes.writeUInt32LE(Number(bits & 0xffffffffn), at)
    bytes.writeUInt32LE(Number(bits >> 32n), at + 8)
  }
  if (rootId !== undefined) bytes.writeUInt32LE(rootId, 20)
  return bytes
}
