import { execFileSync } from 'node:child_process'
import type { Container, StartOptions } from 'cofferdam'
import {
  allCapabilities,
  type CapabilityName,
  defaults,
  formatIab,
  formatText,
  fromBits,
  lastCapability,
  parseStatus,
  processCapabilities,
  type Securebit,
  toBits,
} from 'cofferdam/capabilities'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  runIn,
  scratch,
} from '../support/index.js'
import { asUser } from '../support/unprivileged.js'

// What builder.capabilities() is told is what a program in the container has: by
// its own account, and by getpcaps outside.

const nothingLeft = await rememberTraces()

type Told = Parameters<Container['capabilities']>[0]

const own = needsRoot.skip === undefined ? processCapabilities().permitted : []
const without = (set: readonly CapabilityName[], ...names: CapabilityName[]) =>
  set.filter(name => !names.includes(name))
const sorted = (set: readonly CapabilityName[]) => fromBits(toBits('x', set))

/** From inside, and from outside. */
async function look(told: Told, options: { user?: number; newPrivileges?: boolean } = {}) {
  const { newPrivileges = false, ...start } = options
  await using box = await overHost().capabilities(told).noNewPrivileges(!newPrivileges).create()
  const main = await box.start(['sh', '-c', 'cat /proc/self/status; echo end; exec cat'], start)
  let printed = ''
  for await (const line of main.stdout.lines()) {
    if (line === 'end') break
    printed += `${line}\n`
  }
  const inside = parseStatus(printed)
  const getpcaps = execFileSync('getpcaps', ['--iab', `${main.pid}`], { encoding: 'utf8' })
  return { inside, getpcaps: getpcaps.replace(/^\d+: |"|\n/g, '') }
}

// getpcaps writes nothing for no capabilities, where it has more to write.
const asOutside = (state: ReturnType<typeof parseStatus>) =>
  `${formatText(state)} [${formatIab(state)}]`.replace(/^= /, '')

for (const [what, told, expected] of [
  ['all', 'all', own],
  ['a list', ['CAP_CHOWN', 'KILL', '21'], ['CHOWN', 'KILL', 'SYS_ADMIN']],
  ['none', [], []],
  ['one added', { add: ['SYS_TIME'] }, [...defaults, 'SYS_TIME']],
  ['one dropped', { drop: ['CAP_MKNOD'] }, without(defaults, 'MKNOD')],
  ['one for another', { add: ['BPF'], drop: ['KILL'] }, [...without(defaults, 'KILL'), 'BPF']],
  ['all dropped', { drop: ['ALL'] }, []],
  ['all but one dropped', { drop: ['ALL'], add: ['CHOWN'] }, ['CHOWN']],
  ['all added', { add: ['ALL'] }, own],
  ['all but one added', { add: ['ALL'], drop: ['CHOWN'] }, without(own, 'CHOWN')],
  ['nothing changed', { add: [] }, defaults],
] as [string, Told, CapabilityName[]][])
  t.test(`root: ${what}`, needsRoot, async t => {
    const { inside, getpcaps } = await look(told)
    const set = sorted(expected)
    t.same(inside.bounding, set)
    t.same(inside.permitted, set)
    t.same(inside.effective, set)
    t.same(inside.inheritable, [])
    t.same(inside.ambient, [])
    t.equal(getpcaps, asOutside(inside))
    const user = await look(told, { user: 1000 })
    t.same(user.inside.bounding, set, 'an ordinary user has the bounding set')
    t.same(user.inside.permitted, [], 'and no more')
  })

t.test('each of the five sets', needsRoot, async t => {
  const { inside, getpcaps } = await look(
    {
      bounding: ['CHOWN', 'KILL', 'NET_RAW', 'SETPCAP'],
      permitted: ['CHOWN', 'KILL', 'NET_RAW'],
      effective: ['CHOWN'],
      inheritable: ['KILL', 'NET_RAW', 'SETPCAP'],
      ambient: ['NET_RAW'],
    },
    { user: 1000 },
  )
  t.same(inside.bounding, ['CHOWN', 'KILL', 'SETPCAP', 'NET_RAW'])
  t.same(inside.inheritable, ['KILL', 'SETPCAP', 'NET_RAW'])
  t.same(inside.ambient, ['NET_RAW'])
  t.same(inside.permitted, ['NET_RAW'], 'what an ordinary user keeps of it')
  t.same(inside.effective, ['NET_RAW'])
  t.equal(getpcaps, asOutside(inside))
  const all = await look({ bounding: 'all' })
  t.same(all.inside.bounding, own)
})

t.test('all is all in a user namespace', needsContainers, async t => {
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  const builder = () => {
    const over = overHost()
    return process.getuid?.() === 0 ? over.idMappings({ uid: ids, gid: ids }) : over
  }
  const { stdout } = await run(builder().capabilities('all'), ['cat', '/proc/self/status'])
  t.same(toBits('x', parseStatus(stdout).permitted), allCapabilities())
  if (process.getuid?.() !== 0) return
  // The same but for the user namespace, asked for by a program that lacks some.
  const script = `
    import { Container, overlay } from 'cofferdam'
    const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
    for (const mappings of [{ uid: ids, gid: ids }, undefined]) {
      const builder = new Container().rootfs(overlay({ lower: ['/'] })).capabilities('all')
      if (mappings) builder.idMappings(mappings)
      const box = await builder.create()
      const main = await box.start(['grep', 'CapPrm', '/proc/self/status'])
      process.stdout.write(await main.stdout.text())
      await box.delete()
    }`
  const args = ['--bounding-set=-sys_time', process.execPath, '--input-type=module', '-e', script]
  const printed = execFileSync('setpriv', args, { encoding: 'utf8' })
  const [inside = '', outside = ''] = printed.match(/[0-9a-f]{16}/g) ?? []
  t.equal(BigInt(`0x${inside}`), allCapabilities())
  t.equal(BigInt(`0x${outside}`), toBits('x', without(own, 'SYS_TIME')))
})

/** What capsh says of securebits inside. */
async function securebits(told: Told, user: number): Promise<string> {
  const { stdout } = await run(overHost().capabilities(told), ['capsh', '--print'], { user })
  return /^Securebits: \d+\/(0x[0-9a-f]+)/m.exec(stdout)?.[1] ?? ''
}

t.test('securebits', needsRoot, async t => {
  for (const user of [0, 1000])
    for (const [names, bits] of [
      [[], '0'],
      [['noroot'], '1'],
      [['noroot', 'noroot_locked'], '3'],
      [['no_setuid_fixup', 'no_setuid_fixup_locked'], 'c'],
      [['keep_caps_locked'], '20'],
      [['no_cap_ambient_raise', 'no_cap_ambient_raise_locked'], 'c0'],
      [['noroot_locked', 'no_setuid_fixup_locked', 'keep_caps_locked'], '2a'],
    ] as [Securebit[], string][]) {
      t.equal(await securebits({ securebits: names }, user), `0x${bits}`, `${user}: ${names}`)
    }
})

t.test('securebits together with sets', needsRoot, async t => {
  // Root gains nothing by being root, and no capability is left to set them with.
  const sets = ['NET_RAW', 'CHOWN'] as const
  const told = {
    bounding: sets,
    permitted: sets,
    effective: sets,
    inheritable: sets,
    ambient: ['NET_RAW'],
    securebits: ['noroot', 'noroot_locked', 'no_cap_ambient_raise'],
  } as const
  for (const user of [0, 1000]) {
    const { inside } = await look(told, { user })
    t.same(inside.permitted, ['NET_RAW'])
    t.same(inside.effective, ['NET_RAW'])
    t.same(inside.bounding, ['CHOWN', 'NET_RAW'])
    t.equal(await securebits(told, user), '0x43')
  }
  const { inside } = await look({ securebits: ['noroot'] })
  t.same(inside.bounding, sorted(defaults), 'alone they leave the default sets')
  t.same(inside.permitted, [])
})

t.test('those who join later have the same', needsRoot, async t => {
  const told = { drop: ['KILL'], securebits: ['no_setuid_fixup'] } as const
  await using box = await overHost().capabilities(told).create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  const other = await box.exec(['capsh', '--print'])
  const printed = (await other.stdout?.text()) ?? ''
  t.match(printed, /^Securebits: \d+\/0x4\//m)
  t.match(printed, /^Current: cap_chown,(?!.*cap_kill).*cap_setfcap=ep$/m)
})

t.test('a start, and those who join, can have fewer', needsRoot, async t => {
  const most = ['CHOWN', 'KILL', 'NET_RAW'] as const
  const builder = overHost().capabilities({
    drop: ['ALL'],
    add: most,
    securebits: ['no_setuid_fixup'],
  })
  const state = async (process: { stdout: { text(): Promise<string> } | null }) =>
    parseStatus((await process.stdout?.text()) ?? '')
  const status = ['cat', '/proc/self/status']
  for (const [own, bounding, permitted, user] of [
    [undefined, most, most, 0],
    ['all', most, most, 0],
    [['KILL'], ['KILL'], ['KILL'], 0],
    [[], [], [], 0],
    [{ drop: ['KILL'] }, ['CHOWN', 'NET_RAW'], ['CHOWN', 'NET_RAW'], 0],
    [{ drop: ['KILL'] }, ['CHOWN', 'NET_RAW'], [], 1000],
    [{ drop: ['ALL'], add: ['KILL'] }, ['KILL'], ['KILL'], 0],
    [
      { bounding: 'all', permitted: ['KILL'], inheritable: ['KILL'], ambient: ['KILL'] },
      most,
      ['KILL'],
      1000,
    ],
  ] as [StartOptions['capabilities'], CapabilityName[], CapabilityName[], number][]) {
    const options = { user, ...(own === undefined ? {} : { capabilities: own }) }
    await using box = await builder.create()
    const started = await state(await box.start(status, options))
    t.same(started.bounding, bounding, JSON.stringify(own))
    t.same(started.permitted, permitted)
    await using running = await builder.create()
    await running.start(['sleep', '60'], { stdio: 'ignore' })
    const joined = await state(await running.exec(status, options))
    t.same(joined.bounding, bounding, JSON.stringify(own))
    t.same(joined.permitted, permitted)
    const plain = await state(await running.exec(status))
    t.same(plain.permitted, most, 'and the next one has what the container has')
    const print = await running.exec(['capsh', '--print'], options)
    t.match(await print.stdout?.text(), /^Securebits: \d+\/0x4\//m, 'securebits stay')
  }
  await using box = await builder.create()
  const refused = { code: 'ERR_CONFLICT', option: 'capabilities', message: /SYS_TIME.*bounding/ }
  await t.rejects(box.start(['true'], { capabilities: ['KILL', 'SYS_TIME'] }), refused)
  await t.rejects(box.start(['true'], { capabilities: { add: ['SYS_TIME'] } }), refused)
  await t.rejects(box.start(['true'], { capabilities: 'most' as 'all' }), {
    code: 'ERR_INVALID_OPTION',
    option: 'capabilities',
  })
  t.equal((await runIn(box, ['true'])).exitCode, 0, 'it can still be started')
})

t.test('also of a container that another program has made', needsRoot, async t => {
  const state = { stateFolder: scratch(t) }
  const told = { add: ['BPF'], securebits: ['no_setuid_fixup'] } as const
  const made = await overHost('kept')
    .capabilities(told)
    .create({ lifetime: 'detached', ...state })
  try {
    await made.start(['sleep', '60'], { stdio: 'ignore' })
    const script = `
      import { Container } from 'cofferdam'
      const box = await Container.load('kept', ${JSON.stringify(state)})
      const other = await box.exec(['capsh', '--print'])
      process.stdout.write(await other.stdout.text())`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    t.match(printed, /^Securebits: \d+\/0x4\//m)
    t.match(printed, /^Current: .*cap_bpf=ep$/m)
  } finally {
    await made.delete()
  }
})

t.test('configurations are not mistaken for one another', needsRoot, async t => {
  const permitted = async (told: Told) => (await look(told)).inside.permitted
  t.same(await permitted({ add: ['BPF'] }), sorted([...defaults, 'BPF']))
  t.same(await permitted({ drop: ['CHOWN'] }), without(defaults, 'CHOWN'))
  t.same(await permitted({}), [], 'no sets are empty ones')
  t.same(await permitted([]), [])
})

t.test('what is refused, before anything is done', needsRoot, async t => {
  const wrong = (told: unknown) => () => overHost().capabilities(told as Told)
  const invalid = { code: 'ERR_INVALID_OPTION' }
  for (const [told, option] of [
    ['some', 'capabilities'],
    [null, 'capabilities'],
    [{ add: 'ALL' }, 'capabilities.add'],
    [{ drop: 7 }, 'capabilities.drop'],
    [['FLY'], 'capabilities'],
    [['CHOWN', ['KILL']], 'capabilities'],
    [{ add: ['FLY'] }, 'capabilities.add'],
    [{ drop: [7] }, 'capabilities.drop'],
    [{ ambient: ['FLY'] }, 'capabilities.ambient'],
    [{ effective: 'some' }, 'capabilities.effective'],
    [{ boundless: [] }, 'capabilities.boundless'],
    [{ securebits: ['no_root'] }, 'capabilities.securebits'],
    [{ securebits: 'noroot' }, 'capabilities.securebits'],
    [{ securebits: ['keep_caps'] }, 'capabilities.securebits'],
  ] as const)
    t.throws(wrong(told), { ...invalid, option }, JSON.stringify(told))
  t.throws(wrong({ add: [], bounding: [] }), {
    code: 'ERR_CONFLICT',
    option: 'capabilities.bounding',
  })
  type Refusal = { code: string; option?: string; message?: RegExp }
  const refused = (told: unknown, error: Refusal) =>
    t.rejects(wrong(told)().create(), error, JSON.stringify(told))
  const both = { code: 'ERR_CONFLICT', option: 'capabilities.drop' }
  await refused({ add: ['KILL'], drop: ['CAP_KILL'] }, { ...both, message: /KILL/ })
  await refused({ add: ['ALL'], drop: ['ALL'] }, both)
  const next = lastCapability() + 1
  await refused([`${next}`], {
    code: 'ERR_UNSUPPORTED',
    option: 'capabilities',
    message: new RegExp(`${next}: the last that this kernel has is ${next - 1}`),
  })
  await refused({ bounding: ['63'] }, { code: 'ERR_UNSUPPORTED' })
})

t.test('an ordinary user can have all in its own user namespace', needsRoot, async t => {
  const [inside] = await asUser(
    t,
    `say(await sh(overHost().capabilities({ add: ['ALL'] }), 'grep CapEff /proc/self/status'))`,
  )
  t.equal(inside, `CapEff:\t${allCapabilities().toString(16).padStart(16, '0')}`)
})

t.test('nothing is left', nothingLeft)
