import { attribute, attributes, type Codec } from '../../codec/index.js'
import { type LinkMessage, linkFormat } from '../link-format.js'
import { kind } from './kind.js'

/** A message like that of the device itself. */
const peer: Codec<LinkMessage> = {
  read: (bytes, start, end) => linkFormat.read(bytes, start, end),
  write: (to, value) => linkFormat.write(to, value),
}

/** veth(4). The kernel tells no more of one than the number of the other. linux/veth.h */
export const veth = kind(attributes({ peer: attribute('VETH_INFO_PEER', 1, peer) }))
