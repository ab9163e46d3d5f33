// What happens to devices, addresses, routes and rules, live:
//   node out/examples/net-monitor.js [--netns PATH] [--all] [--json]
//
// Links and routes; with --all everything that is told. Ctrl-C ends it.
import { parseArgs, styleText } from 'node:util'
import { netlink } from 'cofferdam'

const { values } = parseArgs({
  options: {
    netns: { type: 'string' },
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const end = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort())

await using nl = await netlink.open(values.netns === undefined ? {} : { netns: values.netns })
const wanted = values.all ? {} : { links: true, routes: true }
const events = await nl.monitor({ ...wanted, signal: end.signal })
/** Devices by their numbers, as they are called now. */
const names = new Map((await nl.links.list()).map(({ index, name }) => [index, name]))
const device = (index: number | undefined) =>
  index === undefined ? '' : ` dev ${names.get(index) ?? index}`

/** What an event is about, in a line. */
function describe(event: netlink.NetworkChange): string {
  switch (event.kind) {
    case 'link':
      return `${event.link.index}: ${event.link.name} ${event.link.up ? 'up' : 'down'}`
    case 'address':
      return `${event.address.address}${device(event.address.device)}`
    case 'route': {
      const { destination, type, gateway, nexthops, table } = event.route
      const ways = nexthops?.map(way => ` via ${way.gateway ?? '-'}${device(way.device)}`) ?? []
      const via = gateway === undefined ? ways.join(',') : ` via ${gateway}`
      const what = type === 'unicast' ? '' : `${type} `
      return `${what}${destination}${via}${device(event.route.device)} table ${table}`
    }
    case 'rule':
      return `${event.rule.priority}: ${event.rule.action} ${event.rule.table ?? ''}`
    case 'neighbour':
      return `${event.neighbour.address} ${event.neighbour.hardware ?? ''} ${event.neighbour.state}${device(event.neighbour.device)}`
    case 'fdb':
      return `${event.entry.address}${device(event.entry.device)}`
    case 'namespace':
      return `number ${event.id}`
  }
}

for await (const event of events) {
  if (event.kind === 'link') {
    if (event.change === 'deleted') names.delete(event.link.index)
    else names.set(event.link.index, event.link.name)
  }
  if (values.json)
    console.log(
      JSON.stringify(event, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    )
  else if (event.kind === 'lost') console.log(styleText('red', 'some of it was lost'))
  else {
    const sign = event.change === 'new' ? styleText('green', '+') : styleText('red', '-')
    console.log(sign, styleText('cyan', event.kind.padEnd(9)), describe(event))
  }
}
