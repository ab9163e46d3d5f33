import { attributes } from '../../codec/index.js'
import { kind } from './kind.js'

/** Kinds that have nothing of their own: dummy, ifb, wireguard. */
export const plain = kind(attributes({}))
