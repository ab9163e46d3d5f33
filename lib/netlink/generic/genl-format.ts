import {
  type Attributes,
  attribute,
  attributes,
  type Format,
  flagSet,
  format,
  list,
  struct,
  text,
  u8,
  u16,
  u32,
} from '../codec/index.js'

/** struct genlmsghdr, linux/genetlink.h */
const header = struct({ command: u8, version: u8, reserved: u16 })

/** A message of a family: what it is about, and the family's attributes. */
export function genericFormat<A>(
  described: Attributes<A>,
): Format<{ command?: number; version?: number; reserved?: number } & A> {
  return format(header, described)
}

const operationFlags = {
  /** It takes CAP_NET_ADMIN: in the first user namespace. */
  admin: 0x1,
  do: 0x2,
  dump: 0x4,
  policy: 0x8,
  /** It takes CAP_NET_ADMIN in the user namespace that the network namespace belongs to. */
  namespaceAdmin: 0x10,
} as const

const family = attributes({
  id: attribute('CTRL_ATTR_FAMILY_ID', 1, u16),
  name: attribute('CTRL_ATTR_FAMILY_NAME', 2, text(16)),
  familyVersion: attribute('CTRL_ATTR_VERSION', 3, u32),
  headerSize: attribute('CTRL_ATTR_HDRSIZE', 4, u32),
  mostAttributes: attribute('CTRL_ATTR_MAXATTR', 5, u32),
  operations: attribute(
    'CTRL_ATTR_OPS',
    6,
    list(
      attributes({
        id: attribute('CTRL_ATTR_OP_ID', 1, u32),
        flags: attribute('CTRL_ATTR_OP_FLAGS', 2, flagSet(operationFlags, u32)),
      }),
    ),
  ),
  groups: attribute(
    'CTRL_ATTR_MCAST_GROUPS',
    7,
    list(
      attributes({
        name: attribute('CTRL_ATTR_MCAST_GRP_NAME', 1, text(16)),
        id: attribute('CTRL_ATTR_MCAST_GRP_ID', 2, u32),
      }),
    ),
  ),
})

export const familyFormat = genericFormat(family)
