import { CofferdamError, errnoName } from '../base/index.js'
import {
  aligned,
  attribute,
  attributes,
  MESSAGE_HEADER,
  type Message,
  messageFlags,
  type Received,
  text,
  u32,
} from './codec/index.js'

/** What the kernel says of an error besides its number. linux/netlink.h enum nlmsgerr_attrs */
const extended = attributes({
  message: attribute('NLMSGERR_ATTR_MSG', 1, text()),
  offset: attribute('NLMSGERR_ATTR_OFFS', 2, u32),
  missingType: attribute('NLMSGERR_ATTR_MISS_TYPE', 5, u32),
  missingNest: attribute('NLMSGERR_ATTR_MISS_NEST', 6, u32),
})

const ERRNO = 4
const NLMSG_DONE = 3

/**
 * The error that a message of type `NLMSG_ERROR` or `NLMSG_DONE` tells of, or undefined when all
 * is well: the kernel's own words, and the attribute that they are about.
 *
 * @param asked What it is the answer to.
 * @param place Which of several messages that is.
 */
export function failureIn(
  bytes: Buffer,
  { type, start, end, flags }: Received,
  asked: Message,
  place?: string,
): CofferdamError | undefined {
  const errno = end - start >= ERRNO ? -bytes.readInt32LE(start) : 0
  if (errno === 0) return undefined
  const words = extendedAt(bytes, type, start, end, flags)
  const { message, offset, missingType, missingNest } = words
  const size = asked.bytes.length
  const at = offset ?? missingNest
  const path = at === undefined ? [] : asked.inside.fieldAt(asked.bytes, 0, size, at)
  if (missingType !== undefined)
    path.push(
      (missingNest === undefined ? asked.inside.nameOf(missingType) : undefined) ??
        `attribute ${missingType}`,
    )
  const attribute = path.length === 0 ? undefined : path.join('.').replaceAll(/\.(?=[[(])/g, '')
  return failed(asked.name, errno, message, attribute, missingType !== undefined, place)
}

/** An error of a request that has this number. */
export function failed(
  name: string,
  errno: number,
  said?: string,
  attribute?: string,
  missing = false,
  place = '',
): CofferdamError {
  const code = errnoName(errno)
  const about = attribute === undefined ? '' : `, ${missing ? 'missing: ' : ''}${attribute}`
  return new CofferdamError(`${name}${place}${about}: ${code}${said ? `: ${said}` : ''}`, {
    code,
    errno,
    syscall: 'sendto',
    operation: name,
    attribute,
    hint: hintFor(code),
  })
}

function hintFor(code: string): string | undefined {
  switch (code) {
    case 'EPERM':
      return 'this takes CAP_NET_ADMIN in the user namespace that the network namespace belongs to'
    case 'EPROTONOSUPPORT':
    case 'EOPNOTSUPP':
      return 'this kernel has been built without it, or has not loaded the module'
    case 'ERESTART':
      return 'somebody has changed the rules meanwhile'
    case 'ENOBUFS':
      return 'the answers did not fit into the buffer of the socket: sysctl net.core.rmem_max'
    case 'EMSGSIZE':
      return 'a batch of this size takes CAP_NET_ADMIN in the first user namespace, or a greater sysctl net.core.wmem_max'
  }
  return undefined
}

/**
 * They stand behind the request, which the kernel leaves out when it is asked to; in the last
 * message of a list there is none.
 */
function extendedAt(bytes: Buffer, type: number, start: number, end: number, flags: number) {
  if ((flags & messageFlags.ERROR_ATTRIBUTES) === 0) return {}
  const header = start + ERRNO
  if (type === NLMSG_DONE) return extended.read(bytes, header, end)
  if (end - header < MESSAGE_HEADER) return {}
  const size =
    (flags & messageFlags.CAPPED) === 0 ? aligned(bytes.readUInt32LE(header)) : MESSAGE_HEADER
  const from = header + size
  return from > end ? {} : extended.read(bytes, from, end)
}
