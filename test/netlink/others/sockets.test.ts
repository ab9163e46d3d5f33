import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot, scratch } from '../../support/index.js'
import { inNetns } from '../../support/netns.js'

/** A server, and a connection to it. */
async function connection(t: Test, where: { host: string; port: number } | { path: string }) {
  const server = createServer()
  server.listen(where)
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = connect('path' in where ? where : { ...where, port })
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
  client.on('error', () => {})
  accepted.on('error', () => {})
  t.teardown(() => {
    client.destroy()
    accepted.destroy()
    server.close()
  })
  return { server, client, accepted, port }
}

for (const host of ['127.0.0.1', '::1'])
  t.test(`sockets of TCP at ${host}, as /proc/net and ss have them`, async t => {
    const { client, port } = await connection(t, { host, port: 0 })
    await using nl = await netlink.open()
    const all = await nl.sockets.list({ protocol: 'tcp' })
    const listening = all.find(one => one.state === 'listen' && one.local.port === port)
    t.match(listening, { local: { address: host }, uid: process.getuid?.(), remote: { port: 0 } })
    const own = all.find(one => one.local.port === client.localPort)
    t.match(own, { state: 'established', remote: { address: host, port } })

    const table = readFileSync(host === '::1' ? '/proc/net/tcp6' : '/proc/net/tcp', 'utf8')
    const rows = table.split('\n').map(line => line.trim().split(/\s+/))
    const hex = port.toString(16).toUpperCase().padStart(4, '0')
    const row = rows.find(([, local = '', , state]) => local.endsWith(`:${hex}`) && state === '0A')
    t.equal(listening?.inode, Number(row?.[9]))

    const printed = await inNetns(undefined, 'ss', '-tnaHOe', `sport = :${client.localPort}`)
    t.match(printed, new RegExp(`ESTAB.*ino:${own?.inode} `))
    t.match(printed, `sk:${own?.cookie.toString(16)}`)

    const only = await nl.sockets.list({ protocol: 'tcp', states: ['listen'] })
    t.ok(only.length > 0)
    t.ok(only.every(({ state }) => state === 'listen'))
    const family = host === '::1' ? 'ipv6' : 'ipv4'
    const one = await nl.sockets.list({ protocol: 'tcp', family })
    t.ok(one.every(found => found.family === family))
  })

t.test('a connection is ended from outside, and only that one', needsRoot, async t => {
  const { client } = await connection(t, { host: '127.0.0.1', port: 0 })
  await using nl = await netlink.open()
  const own = (await nl.sockets.list({ protocol: 'tcp' })).find(
    one => one.local.port === client.localPort,
  )
  if (own === undefined) throw new Error('there is none')
  await t.rejects(nl.sockets.destroy({ ...own, cookie: own.cookie + 1n }), { code: 'ENOENT' })
  const ended = new Promise(resolve => client.once('close', resolve))
  await nl.sockets.destroy(own)
  await ended
})

t.test('sockets of the machine’s own, as ss has them', async t => {
  const path = join(scratch(t), 'socket')
  await connection(t, { path })
  await using nl = await netlink.open()
  const all = await nl.sockets.list({ protocol: 'unix' })
  const listening = all.find(one => one.name === path && one.state === 'listen')
  t.match(listening, { type: 'stream' })
  const accepted = all.find(one => one.name === path && one.state === 'established')
  const peer = all.find(one => one.inode === accepted?.peer)
  t.equal(peer?.peer, accepted?.inode)
  const printed = await inNetns(undefined, 'ss', '-xaHO')
  const inodes = printed
    .split('\n')
    .filter(line => line.includes(path))
    .map(line => line.trim().split(/\s+/)[5])
  t.same(inodes.map(Number).sort(), [listening?.inode, accepted?.inode].sort())
})

t.test('what can not be right is refused', async t => {
  await using nl = await netlink.open()
  const refused = (filter: object, option: string) =>
    t.rejects(nl.sockets.list(filter as never), { code: 'ERR_INVALID_OPTION', option })
  await refused({ protocol: 'tpc' }, 'sockets.list: protocol')
  await refused({ protocol: 'tcp', states: ['open'] }, 'sockets.list: states')
  await refused({ protocol: 'tcp', family: 'ip' }, 'sockets.list: family')
  await refused({ protocol: 'tcp', state: 'listen' }, 'sockets.list.state')
})
