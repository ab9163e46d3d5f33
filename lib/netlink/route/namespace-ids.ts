import { CofferdamError, integerOption } from '../../base/index.js'
import { type NamespaceReference, open } from '../../namespaces/index.js'
import { attribute, attributes, format, message, s32, struct, u32 } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { family } from './families.js'

const RTM_NEWNSID = 88
const RTM_GETNSID = 90
/** NETNSA_NSID_NOT_ASSIGNED, which asks for any, too. */
const NONE = -1

export const namespaceIdFormat = format(
  struct({ family }),
  attributes({
    id: attribute('NETNSA_NSID', 1, s32),
    pid: attribute('NETNSA_PID', 2, u32),
    fd: attribute('NETNSA_FD', 3, u32),
  }),
)

/**
 * The numbers by which a network namespace calls others: where the other end of a veth is, stands
 * so in what is said of a link. ip-netns(8)
 */
export class NamespaceIds {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** All the numbers that it has given. Equivalent to: `ip netns list-id` */
  async list(): Promise<number[]> {
    const socket = await this.#connection.socket('route')
    const request = message('RTM_GETNSID', RTM_GETNSID, 0, namespaceIdFormat, {})
    return socket.dump(request, namespaceIdFormat, ({ id }) => id)
  }

  /**
   * The number of a network namespace; undefined when it has none here.
   *
   * @throws CofferdamError as namespaces.open().
   */
  async get(namespace: NamespaceReference): Promise<number | undefined> {
    using opened = open('network', namespace)
    const socket = await this.#connection.socket('route')
    const request = message('RTM_GETNSID', RTM_GETNSID, 0, namespaceIdFormat, { fd: opened.fd })
    const [found] = await socket.request(request, namespaceIdFormat)
    return found?.id === undefined || found.id === NONE ? undefined : found.id
  }

  /**
   * Gives a network namespace a number, and tells it. The kernel does so itself when it needs one.
   * Equivalent to: `ip netns set blue 10`
   *
   * @param id Default: any.
   * @throws CofferdamError `EEXIST` when it has one; `ENOSPC` when the number is another's.
   */
  async create(namespace: NamespaceReference, id?: number): Promise<number> {
    if (id !== undefined) integerOption('id', id, 0, 2 ** 31 - 1)
    using opened = open('network', namespace)
    const socket = await this.#connection.socket('route')
    const value = { fd: opened.fd, id: id ?? NONE }
    await socket.request(
      message('RTM_NEWNSID', RTM_NEWNSID, 0, namespaceIdFormat, value, 'options'),
    )
    const given = id ?? (await this.get({ fd: opened.fd }))
    if (given === undefined)
      throw new CofferdamError('the kernel gave no number', { code: 'ENOENT' })
    return given
  }
}
