import { type CofferdamError, native, nativeError } from '../base/index.js'

const MOST = 1 << 20

/**
 * What has been told to a socket that listens, about 1 MiB of it, or null when there is nothing; does not
 * wait. `'lost'` once, when more was told than the socket had room for.
 */
export function receive(fd: number): Buffer | 'lost' | null {
  try {
    return native().netlinkReceive(fd, MOST)
  } catch (error) {
    const typed = nativeError('netlink socket', error)
    if ((typed as CofferdamError).code === 'ENOBUFS') return 'lost'
    throw typed
  }
}
