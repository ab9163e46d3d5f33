// The devices of a network namespace and their addresses, as `ip -br addr` prints them:
//   node out/examples/ip-addr.js [NAMESPACE]
import { netlink } from 'cofferdam'

const [, , netns] = process.argv
await using nl = await netlink.open(netns === undefined ? {} : { netns })
const [links, addresses] = await Promise.all([
  nl.links.list({ statistics: false }),
  nl.addresses.list(),
])
for (const { index, name, link, linkNetnsId, state = 'unknown' } of links) {
  // What it stands on, or the other end of a pair: one in another namespace has only a number.
  const below = links.find(other => other.index === link)?.name ?? `if${link}`
  const full = link ? `${name}@${linkNetnsId === undefined ? below : `if${link}`}` : name
  const own = addresses.filter(({ device }) => device === index)
  const texts = own.map(({ address, peer }) => (peer ? `${address} peer ${peer}` : address))
  console.log(
    `${full.padEnd(16)} ${String(state).toUpperCase().padEnd(14)} ${texts.join(' ')}`.trimEnd(),
  )
}
