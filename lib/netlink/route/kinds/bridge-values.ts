import { type FixedCodec, mapped, octets, oneOf, u8 } from '../../codec/index.js'

/** Where routers of multicast are. linux/if_bridge.h MDB_RTR_TYPE_… */
export const multicastRouters = oneOf({ disabled: 0, query: 1, permanent: 2, temporary: 3 }, u8)

/** struct ifla_bridge_id, as `bridge` and `ip` print it. It is never written. */
export const bridgeId: FixedCodec<string> = mapped<Uint8Array, string>(
  octets(8),
  id => {
    const [first = '', second = '', ...address] = Array.from(id, byte =>
      byte.toString(16).padStart(2, '0'),
    )
    return `${first}${second}.${address.join(':')}`
  },
  (_value, to) => {
    throw to.refuse('can be read only')
  },
)
