import { attribute, attributes, type Codec, format, struct, u8, u32, u64 } from '../codec/index.js'

/** Types of sockets, by their numbers. */
export const unixTypes: Readonly<Record<number, 'stream' | 'datagram' | 'seqpacket'>> = {
  1: 'stream',
  2: 'datagram',
  5: 'seqpacket',
}

/** An abstract name begins with NUL, which is shown as `@`; of a path one may be at the end. */
const name: Codec<string> = {
  read(bytes, start, end) {
    const abstract = start < end && bytes[start] === 0
    const stop = !abstract && bytes[end - 1] === 0 ? end - 1 : end
    return abstract
      ? `@${bytes.toString('utf8', start + 1, end)}`
      : bytes.toString('utf8', start, stop)
  },
  write(to) {
    throw to.refuse('is only read')
  },
}

/** linux/unix_diag.h */
export const unixFormat = {
  request: format(
    struct({ family: u8, protocol: u8, pad: 2, states: u32, inode: u32, show: u32, cookie: u64 }),
    attributes({}),
  ),
  answer: format(
    struct({ family: u8, type: u8, state: u8, pad: 1, inode: u32, cookie: u64 }),
    attributes({
      name: attribute('UNIX_DIAG_NAME', 0, name),
      peer: attribute('UNIX_DIAG_PEER', 2, u32),
      queues: attribute('UNIX_DIAG_RQLEN', 4, struct({ receive: u32, send: u32 })),
      uid: attribute('UNIX_DIAG_UID', 7, u32),
    }),
  ),
}
