import { conflict, type Descriptor, flagOption, onlyKeys } from '../../base/index.js'
import { type Message, message } from '../codec/index.js'
import { NetlinkSocket } from '../socket.js'
import { deletion, RTM_NEWLINK } from './devices.js'
import { type LinkMessage, linkFormat } from './link-format.js'
import { deviceKeys, settingsMessage } from './link-message.js'
import type { CreateVeth } from './link-options.js'

/** A pair is up only when both are there, so that the other end can't be made so. */
export async function peerUp(
  socket: NetlinkSocket,
  up: Message,
  { name = '', netnsFd }: LinkMessage,
): Promise<void> {
  const there =
    netnsFd === undefined ? undefined : await NetlinkSocket.open('route', { fd: netnsFd })
  try {
    await (there ?? socket).request(up)
  } catch (error) {
    await (there ?? socket).request(deletion(name)).catch(() => {}) // the first error tells more
    throw error
  } finally {
    await there?.close()
  }
}

/** What is said of the other end when it is made, and what brings it up after that. */
export function peerOf(
  { peer }: CreateVeth,
  opened: Descriptor[],
): { body: LinkMessage; up?: Message } | undefined {
  if (peer === undefined) return undefined
  onlyKeys('options.peer', peer, deviceKeys)
  const { up, ...settings } = peer
  const body = settingsMessage('options.peer', settings, opened)
  if (!flagOption('options.peer.up', up, false)) return { body }
  if (peer.name === undefined) throw conflict('options.peer.up', 'takes a name as well')
  const said: LinkMessage = { name: peer.name, flags: ['up'], change: ['up'] }
  const option = 'options.peer'
  return { body, up: message('RTM_NEWLINK', RTM_NEWLINK, 0, linkFormat, said, option) }
}
