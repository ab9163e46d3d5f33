// Which mounts a container hears of, and tells the host of.
import { Container, mounts } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces } from '../support/index.js'
import { bareRoot, inNamespace, look } from '../support/mounted.js'

const { propagate, remount, tmpfs } = mounts
const nothingLeft = await rememberTraces()

const modes: [mode: mounts.PropagationOption, printed: RegExp][] = [
  ['private', /^none$/],
  ['rprivate', /^none$/],
  ['slave', /^none$/], // of nobody
  ['shared', /^shared:\d+$/],
  ['unbindable', /^unbindable$/],
  [['shared', 'slave'], /^none$/],
]

/** The optional fields of a mount. */
function fields({ propagation }: mounts.MountInfo): string {
  const { shared, master, unbindable } = propagation
  const all = [
    shared === undefined ? '' : `shared:${shared}`,
    master === undefined ? '' : `master:${master}`,
    unbindable ? 'unbindable' : '',
  ]
  return all.filter(Boolean).join(' ') || 'none'
}

for (const [mode, printed] of modes)
  t.test(`${mode}: of a mount, a change, a root`, needsContainers, async t => {
    const { mounts: table } = await look(
      bareRoot(new Container()).mount(
        tmpfs('/a', { propagation: mode }),
        tmpfs('/b'),
        propagate('/b', mode),
      ),
    )
    for (const place of ['/a', '/b'])
      t.match(fields(table.get(place) as mounts.MountInfo), printed, place)
    t.equal(fields(table.get('/') as mounts.MountInfo), 'none', 'the root is private')
    const root = bareRoot(new Container()).rootfs(mounts.emptyRoot(), { propagation: mode })
    const whole = (await look(root)).mounts
    t.match(fields(whole.get('/') as mounts.MountInfo), printed, 'the root')
    t.equal(fields(whole.get('/usr') as mounts.MountInfo), 'none', 'and not what is in it')
    const empty = bareRoot(new Container()).rootfs(mounts.emptyRoot({ propagation: mode }))
    t.match(fields((await look(empty)).mounts.get('/') as mounts.MountInfo), printed)
  })

t.test('recursive: all below it', needsContainers, async t => {
  const { mounts: table } = await look(
    bareRoot(new Container()).mount(
      tmpfs('/a'),
      tmpfs('/a/b'),
      propagate('/a', 'rshared'),
      tmpfs('/c', { propagation: 'shared' }),
      tmpfs('/c/d'),
      propagate('/c', 'rslave'),
    ),
  )
  t.match(fields(table.get('/a/b') as mounts.MountInfo), /^shared/)
  t.equal(fields(table.get('/c/d') as mounts.MountInfo), 'none')
  const root = bareRoot(new Container()).rootfs(mounts.emptyRoot(), { propagation: 'rshared' })
  const whole = (await look(root)).mounts
  for (const place of ['/', '/usr', '/proc', '/dev/shm'])
    t.match(fields(whole.get(place) as mounts.MountInfo), /^shared/, place)
})

// The host is played by a mount namespace with a shared mount in it.
const before = `mount -t tmpfs -o mode=755 none $OWN; mount --make-shared $OWN; mkdir $OWN/source $OWN/source/later $OWN/source/inner`
const play = `
  import { execFileSync } from 'node:child_process'
  import { readFileSync } from 'node:fs'
  const { bind } = mounts
  const own = process.env.OWN
  const host = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter(l => l.includes(own)).length
  const sh = text => execFileSync('sh', ['-c', text])
  /** Mounts on the host, looks inside; mounts inside, looks on the host. */
  async function hears(builder, place) {
    const first = host()
    const box = await builder.capabilities(['SYS_ADMIN']).create()
    const made = host()
    sh('mount -t tmpfs outer ' + own + '/source/later')
    const script = 'grep -c " outer " /proc/self/mountinfo; mount -t tmpfs inner ' + place + '/inner && echo mounted; head -n 1 >/dev/null'
    const main = await box.start(['sh', '-c', script])
    let text = ''
    for await (const line of main.stdout.lines()) { text += line + ' '; if (line === 'mounted') break }
    const told = host()
    sh('umount ' + own + '/source/later')
    main.stdin.end()
    await main.exited
    await box.delete()
    const after = host()
    console.log(JSON.stringify({ inside: text.trim(), onCreate: made - first, told: told - made - 1, left: after - first }))
    sh('umount ' + own + '/source/inner 2>/dev/null || true')
  }`

t.test('a bind mount: deaf, hearing, and telling', needsRoot, async t => {
  const said = inNamespace(
    t,
    before,
    `${play}
    for (const options of [{}, { propagation: 'rslave' }, { propagation: 'rshared' }, { propagation: 'private' }, { propagation: ['slave', 'shared'] }])
      await hears(bareRoot(new Container()).mount(bind(own + '/source', '/m', options)), '/m')`,
  ).map(line => JSON.parse(line))
  const deaf = { inside: '0 mounted', onCreate: 0, told: 0, left: 0 }
  const hearing = { inside: '1 mounted', onCreate: 0, told: 0, left: 0 }
  t.same(said[0], deaf, 'nothing by default')
  t.same(said[1], hearing, 'rslave')
  // Its mount on the host stays when it is gone, as the host would have it.
  t.same(said[2], { inside: '1 mounted', onCreate: 0, told: 1, left: 1 }, 'rshared')
  t.same(said[3], deaf, 'private')
  t.same(said[4], hearing, 'slave and shared')
})

t.test('a root directory: deaf, hearing, and never telling', needsRoot, async t => {
  const said = inNamespace(
    t,
    before,
    `${play}
    sh('cd ' + own + '/source; mkdir usr proc sys dev; for n in bin lib lib64 sbin; do ln -s usr/$n $n; done')
    const usr = bind('/usr', '/usr', { readonly: true })
    for (const options of [{}, { propagation: 'rslave' }, { propagation: 'rshared' }])
      await hears(new Container().rootfs(own + '/source', options).mount(usr), '')`,
  ).map(line => JSON.parse(line))
  t.same(said[0], { inside: '0 mounted', onCreate: 0, told: 0, left: 0 })
  t.same(said[1], { inside: '1 mounted', onCreate: 0, told: 0, left: 0 })
  t.same(said[2], { inside: '1 mounted', onCreate: 0, told: 0, left: 0 })
})

t.test('unbindable: it can not be bound again, nor copied along', needsRoot, async t => {
  const { said } = await look(
    bareRoot(new Container())
      .capabilities(['SYS_ADMIN'])
      .mount(
        tmpfs('/a', { propagation: 'unbindable' }),
        tmpfs('/b'),
        tmpfs('/b/c'),
        propagate('/b/c', 'unbindable'),
        mounts.directory('/d'),
        mounts.directory('/e'),
        remount('/a', { noexec: false }),
      ),
    'mount --bind /a /d; mount --rbind /b /e && grep -c " /e" /proc/self/mountinfo',
  )
  t.match(said, /^1\nmount: .*wrong fs type|^1\nmount: /)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
