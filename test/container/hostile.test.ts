// Root file systems that want something of whoever mounts them.
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bind, Container, tmpfs } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  run,
  scratch,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

for (const place of ['proc', 'sys', 'dev'])
  for (const to of ['/', '.', '../..', '/tmp', '/proc/self/root'])
    t.test(`/${place} is a symbolic link to ${to}`, needsRoot, async t => {
      const root = makeRoot(t)
      rmSync(join(root, place), { recursive: true })
      symlinkSync(to, join(root, place))
      await t.rejects(new Container().rootfs(root).mount(hostPrograms).create(), {
        name: 'CofferdamError',
        code: 'ELOOP',
        hint: /symbolic link/,
      })
      t.notOk(readdirSync(root).includes('keys'))
    })

t.test('a mount target that a link leads to the root', needsRoot, async t => {
  for (const to of ['/', '.', '/tmp/..']) {
    const root = makeRoot(t)
    symlinkSync(to, join(root, 'data'))
    const builder = () => new Container().rootfs(root).mount(hostPrograms)
    await t.rejects(builder().mount(tmpfs('/data')).create(), {
      code: 'ELOOP',
      step: 'tmpfs /data',
    })
    await t.rejects(builder().mount(bind('/usr', '/data')).create(), { code: 'ELOOP' })
  }
  const root = makeRoot(t)
  mkdirSync(join(root, 'real'))
  symlinkSync('/real', join(root, 'data'))
  const { stdout } = await run(new Container().rootfs(root).mount(hostPrograms, tmpfs('/data')), [
    'stat',
    '-f',
    '-c',
    '%T',
    '/real',
  ])
  t.equal(stdout, 'tmpfs\n', 'another link leads where it says')
})

t.test('a /proc that is exchanged all the time is masked or refused', needsRoot, async t => {
  const root = makeRoot(t)
  rmSync(join(root, 'proc'), { recursive: true })
  for (const name of ['p1', 'p2']) mkdirSync(join(root, name))
  symlinkSync('p1', join(root, 'proc'))
  let swaps = 0
  let over = false
  const swapping = (async () => {
    for (; !over; swaps++) {
      const fresh = join(root, `link-${swaps}`)
      if (swaps % 3 === 0) mkdirSync(fresh)
      else symlinkSync(swaps % 2 === 0 ? 'p1' : 'p2', fresh)
      try {
        if (swaps % 3 === 0) rmSync(join(root, 'proc'), { recursive: true, force: true })
        renameSync(fresh, join(root, 'proc'))
      } catch {
        rmSync(join(root, 'proc'), { recursive: true, force: true })
        rmSync(fresh, { recursive: true, force: true })
      }
      await new Promise(setImmediate)
    }
  })()
  const script =
    'for at in /proc /p1 /p2; do [ -e $at/sys/kernel/ostype ] && ! touch $at/sys/kernel/ostype 2>/dev/null || [ ! -e $at/sys/kernel ] || echo writable $at; done; for at in /proc /p1 /p2; do [ -s $at/timer_list ] && echo readable $at; done; true'
  for (let i = 0; i < 60; i++) {
    try {
      const { stdout } = await run(new Container().rootfs(root).mount(hostPrograms), [
        'sh',
        '-c',
        script,
      ])
      if (stdout !== '') t.fail(stdout)
    } catch (error) {
      const { name } = error as Error
      if (name !== 'CofferdamError') throw error
    }
  }
  over = true
  await swapping
  t.ok(swaps > 10)
})

t.test('a target below a bind is made in its source, and taken back', needsRoot, async t => {
  const root = makeRoot(t)
  const source = scratch(t)
  writeFileSync(join(source, 'kept'), '')
  const builder = () =>
    new Container().rootfs(root).mount(hostPrograms, bind(source, '/data'), tmpfs('/data/sub/deep'))
  const one = await builder().create()
  t.same(readdirSync(source).sort(), ['kept', 'sub'])
  const two = await builder().create()
  await one.delete()
  const main = await two.start(['stat', '-f', '-c', '%T', '/data/sub/deep'])
  t.equal(await main.stdout.text(), 'tmpfs\n', 'the other container still has its mount')
  await main.exited
  await two.delete()
  t.same(readdirSync(source), ['kept'], 'the last one takes it along')
  t.notOk(readdirSync(root).includes('data'))
})

t.test('what a failed create() made goes, though others use the root', needsRoot, async t => {
  const root = makeRoot(t)
  const before = readdirSync(root, { recursive: true }).sort()
  const other = await new Container().rootfs(root).mount(hostPrograms).create()
  await t.rejects(
    new Container()
      .rootfs(root)
      .mount(tmpfs('/new/thing'))
      .step({
        side: 'waiting',
        name: 'fails',
        run: () => {
          throw new Error('no')
        },
      })
      .create(),
  )
  await other.delete()
  t.same(readdirSync(root, { recursive: true }).sort(), before)
})

const needsKeyctl = existsSync('/usr/bin/keyctl')
  ? needsRoot
  : { skip: 'needs keyctl: apt-get install keyutils' }

t.test('the host’s session keyring stays outside', needsKeyctl, async t => {
  const serial = (text: string) => /^\s*(\d+)/m.exec(text.split('Keyring')[1] ?? '')?.[1]
  const inside = await run(new Container().rootfs(makeRoot(t)).mount(hostPrograms), [
    'keyctl',
    'show',
    '@s',
  ])
  const outside = execFileSync('keyctl', ['show', '@s'], { encoding: 'utf8' })
  t.match(serial(inside.stdout), /\d+/, inside.stdout + inside.stderr)
  t.not(serial(inside.stdout), serial(outside))
})

t.test('nothing is left behind', needsRoot, nothingLeft)
