import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Container } from 'cofferdam'
import type { User } from 'cofferdam/process'
import t, { type Test } from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  rememberTraces,
  run,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\nwww:x:33:44:web:/srv/www:/bin/sh\nbroken\n7:x:8:9::/:\n'
const GROUP = 'root:x:0:\nwww:x:44:\nadm:x:4:www,other\nstaff:x:50:other,www\n'

function withUsers(t: Test, passwd = PASSWD, group = GROUP) {
  const root = makeRoot(t)
  writeFileSync(join(root, 'etc/passwd'), passwd)
  writeFileSync(join(root, 'etc/group'), group)
  return { root, builder: () => new Container().rootfs(root).mount(hostPrograms) }
}

const script = ['sh', '-c', 'echo $(id -u) $(id -g) "$(id -G)" $HOME']

t.test('by name, as the container’s own files have it', needsRoot, async t => {
  const { builder } = withUsers(t)
  const as = async (user: string, env = {}) =>
    (await run(builder(), script, { user, env })).stdout.trim()
  t.equal(await as('www'), '33 44 44 4 50 /srv/www')
  t.equal(await as('www:adm'), '33 4 4 /srv/www')
  t.equal(await as('www:7'), '33 7 7 /srv/www')
  t.equal(await as('33:adm'), '33 4 4 /')
  t.equal(await as('root'), '0 0 0 /root')
  t.equal(await as('www', { HOME: '/elsewhere' }), '33 44 44 4 50 /elsewhere')
  t.equal(await as('7'), '7 0 0 /', 'a number is never a name')
})

t.test('by name and number, part for part', needsRoot, async t => {
  const { builder } = withUsers(t)
  const as = async (user: User) => (await run(builder(), script, { user })).stdout.trim()
  t.equal(await as({ uid: 'www' }), '33 44 44 4 50 /srv/www')
  t.equal(await as({ uid: 'www', gid: 'staff' }), '33 50 50 /srv/www')
  t.equal(await as({ uid: 'www', groups: ['staff', 77] }), '33 44 44 50 77 /srv/www')
  t.equal(await as({ uid: 12, gid: 'adm', groups: ['7'] }), '12 4 4 7 /')
  await using box = await builder().create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  const joined = await box.exec(script, { user: { uid: '9', groups: ['adm'] } })
  t.equal(await joined.stdout.text(), '9 0 0 4 /\n')
})

t.test('a number out of range is refused, and never a name', needsContainers, async t => {
  const names = ['4294967295', '4294967296', '-1', ' 5', '5 ', '+5', '0x5', '99999999999999999999']
  const lines = names.map(name => `${name}:x:0:0:::\n`).join('')
  const { builder } = withUsers(t, lines, names.map(name => `${name}:x:0:\n`).join(''))
  const refused = (user: unknown, option: string) =>
    t.rejects(
      run(builder(), ['true'], { user: user as User }),
      { name: 'CofferdamError', code: 'ERR_INVALID_OPTION', option },
      JSON.stringify(user),
    )
  for (const name of names) {
    if (name === '0x5') continue // a name, if a strange one
    await refused(name, 'user')
    await refused(`0:${name}`, 'user')
    await refused({ uid: name }, 'user.uid')
    await refused({ uid: 0, gid: name }, 'user.gid')
    await refused({ uid: 0, groups: [name] }, 'user.groups')
  }
  for (const number of [-1, 1.5, 2 ** 32 - 1, 2 ** 32, Number.NaN]) await refused(number, 'user')
  await refused({ uid: 0, gid: 0, groups: Array(70_000).fill(1) }, 'user.groups')
  await refused({ uid: 0, name: 'x' }, 'user.name')
  await refused('a:b:c', 'user')
})

t.test('the same as the host’s own tools say', needsRoot, async t => {
  const { overHost } = await import('../support/index.js')
  const outside = execFileSync('id', ['-G', 'daemon'], { encoding: 'utf8' })
  t.equal((await run(overHost(), ['id', '-G'], { user: 'daemon' })).stdout, outside)
})

t.test('of the builder, and for exec', needsRoot, async t => {
  const { builder } = withUsers(t)
  const box = await builder()
    .process({ argv: ['cat'], user: 'www', env: { X: '1' } })
    .create()
  const main = await box.start()
  const other = await box.exec([...script.slice(0, 2), `${script[2]} $X`])
  t.equal(await other.stdout.text(), '33 44 44 4 50 /srv/www 1\n')
  const root = await box.exec(['id', '-u'], { user: 'root' })
  t.equal(await root.stdout.text(), '0\n')
  main.stdin.end()
  await main.exited
  await box.delete()
  t.match(
    new Container().process({ argv: ['cat'], user: 'www' }).explain(),
    'setresuid(<uid of www>, <uid of www>, <uid of www>)',
  )
})

t.test('users and groups that there are not', needsContainers, async t => {
  const { root, builder } = withUsers(t)
  const refused = (user: string) =>
    t.rejects(run(builder(), ['true'], { user }), {
      name: 'CofferdamError',
      code: 'ERR_INVALID_OPTION',
      option: 'user',
    })
  await refused('nobody-at-all')
  await refused('www:no-such-group')
  await refused('broken')
  await refused('4294967295')
  rmSync(join(root, 'etc/passwd'))
  await refused('www')
})

t.test('hostile files in their place', needsContainers, async t => {
  const attempt = async (prepare: (file: string) => void, error: object) => {
    const { root, builder } = withUsers(t)
    const file = join(root, 'etc/passwd')
    rmSync(file)
    prepare(file)
    await t.rejects(run(builder(), ['true'], { user: 'daemon' }), {
      name: 'CofferdamError',
      ...error,
    })
  }
  // On the host there is a daemon; in this root there is none.
  await attempt(file => symlinkSync('/etc/passwd', file), { code: 'ELOOP' })
  await attempt(file => symlinkSync('../../../../../../etc/passwd', file), { code: 'ELOOP' })
  await attempt(file => symlinkSync('/proc/1/root/etc/passwd', file), { code: 'ELOOP' })
  await attempt(file => mkdirSync(file), { code: 'EFTYPE' })
  await attempt(file => execFileSync('mkfifo', [file]), { code: 'EFTYPE' })
  await attempt(file => symlinkSync('/dev/zero', file), { code: 'EFTYPE' })
  await attempt(file => writeFileSync(file, Buffer.alloc(2 << 20)), { code: 'EFBIG' })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
