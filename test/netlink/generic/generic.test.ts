import { netlink } from 'cofferdam'
import t from 'tap'
import { inNetns } from '../../support/netns.js'

const { attribute, attributes, genericFormat, text, u16 } = netlink

t.test('families are resolved, with what they can', async t => {
  await using nl = await netlink.open()
  const control = await nl.generic.family('nlctrl')
  t.match(control, { id: 16, name: 'nlctrl', version: 2, headerSize: 0 })
  t.match(
    control.operations.find(({ id }) => id === 3),
    { flags: ['do', 'dump'] },
  )
  t.match(control.groups, [{ name: 'notify', id: 16 }])
  const all = await nl.generic.list()
  t.same(
    all.find(({ name }) => name === 'nlctrl'),
    control,
  )
  t.ok(all.length > 1)
  await t.rejects(nl.generic.family('no-such'), {
    code: 'ENOENT',
    operation: 'CTRL_CMD_GETFAMILY',
  })
})

t.test('genl(8) says the same', async t => {
  let printed: string
  try {
    printed = await inNetns(undefined, 'genl', 'ctrl', 'list')
  } catch (error) {
    return void t.pass('genl', { skip: `there is none: ${(error as Error).message}` })
  }
  await using nl = await netlink.open()
  const theirs = [
    ...printed.matchAll(/^Name: (\S+)\n\s+ID: 0x([0-9a-f]+)\s+Version: 0x([0-9a-f]+)/gm),
  ]
  t.ok(theirs.length > 1)
  t.same(
    (await nl.generic.list()).map(({ name, id, version }) => ({ name, id, version })),
    theirs.map(([, name, id = '', version = '']) => ({
      name,
      id: Number.parseInt(id, 16),
      version: Number.parseInt(version, 16),
    })),
  )
})

t.test('messages that are not described here can be described by who sends them', async t => {
  await using nl = await netlink.open()
  const format = genericFormat(
    attributes({
      id: attribute('CTRL_ATTR_FAMILY_ID', 1, u16),
      name: attribute('CTRL_ATTR_FAMILY_NAME', 2, text(16)),
    }),
  )
  t.match(await nl.generic.request('nlctrl', 3, format, { name: 'nlctrl' }), [{ id: 16 }])
  t.ok((await nl.generic.dump('nlctrl', 3, format, {})).length > 1)
  await t.rejects(nl.generic.monitor('nlctrl', 'no-such', format), { code: 'ENOENT' })
  const controller = new AbortController()
  const monitor = await nl.generic.monitor('nlctrl', 'notify', format, {
    signal: controller.signal,
  })
  controller.abort()
  t.same(await monitor.next(), { done: true, value: undefined })
})
