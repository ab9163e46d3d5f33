export { Generic, type GenericFamily, type GenericOperationFlag } from './generic.js'
export { genericFormat } from './genl-format.js'
export {
  Wireguard,
  type WireguardDevice,
  type WireguardOptions,
  type WireguardPeer,
  type WireguardPeerOptions,
} from './wireguard.js'
