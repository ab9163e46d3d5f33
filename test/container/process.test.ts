import type { Container } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  shell,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test(
  'environment: PATH, HOME and HOSTNAME, and what is given; nothing of the host’s',
  needsRoot,
  async t => {
    process.env.SECRET_OF_THE_HOST = 'x'
    const builder = overHost().hostname('env')
    t.same(
      (await shell(builder, 'env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort')).split(
        '\n',
      ),
      [
        'HOME=/root',
        'HOSTNAME=env',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ],
    )
    const { stdout } = await run(builder, ['/usr/bin/env'], {
      env: { PATH: '/x', HOME: undefined, HOSTNAME: 'other', MORE: 'a=b\nc' },
    })
    t.same(stdout, 'PATH=/x\nHOSTNAME=other\nMORE=a=b\nc\n')
  },
)

t.test('arguments arrive as they are', needsContainers, async t => {
  const argv = ['printf', '%s|', '', ' a b ', '*', '$HOME', 'ü€', '\n']
  t.equal((await run(overHost(), argv)).stdout, `${argv.slice(2).join('|')}|`)
})

t.test('a thousand arguments of a kilobyte travel in a memfd', needsContainers, async t => {
  const argument = 'x'.repeat(1000)
  const { stdout } = await run(overHost(), [
    'sh',
    '-c',
    'echo $# ${#1}',
    'sh',
    ...Array(1000).fill(argument),
  ])
  t.equal(stdout, '1000 1000\n')
})

t.test('working directory', needsContainers, async t => {
  t.equal(await shell(overHost(), 'pwd'), '/')
  t.equal(await shell(overHost(), 'pwd', { cwd: '/usr/bin' }), '/usr/bin')
  await t.rejects(run(overHost(), ['true'], { cwd: '/no/such' }), {
    code: 'ENOENT',
    step: 'ready',
    syscall: 'chdir',
    path: '/no/such',
  })
})

t.test('what process() says counts where a start says nothing', needsContainers, async t => {
  const usual = { cwd: '/usr', umask: 0o7, nice: 3, env: { A: '1', B: '2' } }
  const builder = overHost().process({ argv: ['true'], ...usual })
  const look = 'echo $(pwd) $(umask) $(nice) $A $B $HOME'
  const nothing = { cwd: undefined, umask: undefined, nice: undefined, env: undefined } as object
  for (const options of [{}, nothing, {}, { user: undefined } as object])
    t.equal(await shell(builder, look, options), '/usr 0007 3 1 2 /root')
  const own = { cwd: '/', nice: 4, env: { A: undefined, HOME: '/x' } }
  t.equal(await shell(builder, look, own), '/ 0007 4 2 /x')
  t.equal(await shell(builder, look, nothing), '/usr 0007 3 1 2 /root')
  // What was said last to process() is all there is to it.
  builder.process({ argv: ['true'], scheduler: { policy: 'fifo', priority: 1 } })
  builder.process({ argv: ['true'], nice: 5 })
  t.equal(await shell(builder, look), '/ 0022 5 /root')
  const half = { nice: 5 } as { nice: number; argv: string[] }
  t.throws(() => builder.process(half), { code: 'ERR_INVALID_OPTION', option: 'argv' })
  const elsewhere = new Proxy({ argv: ['true'] }, {})
  t.throws(() => builder.process(elsewhere), { code: 'ERR_INVALID_OPTION', option: 'process' })
})

t.test('a start is what it was asked for, also if a name is looked up', needsRoot, async t => {
  await using box = await overHost().create()
  const argv = ['sh', '-c', 'id -un; pwd; echo $A; ulimit -n']
  const options = {
    user: 'daemon',
    cwd: '/usr',
    env: { A: '1' },
    rlimits: { nofile: 11 },
    stdio: 'pipe',
  } as const
  const starting = box.start(argv, options)
  argv[2] = 'id; echo other'
  Object.assign(options, { user: 'root', cwd: '/' })
  Object.assign(options.env, { A: '2' })
  Object.assign(options.rlimits, { nofile: 12 })
  t.equal(await (await starting).stdout.text(), 'daemon\n/usr\n1\n11\n')
})

t.test('umask', needsContainers, async t => {
  t.equal(await shell(overHost(), 'umask'), '0022')
  t.equal(await shell(overHost(), 'umask', { umask: 0o77 }), '0077')
})

t.test('user and groups by number', needsRoot, async t => {
  t.equal(await shell(overHost(), 'id -u; id -g; id -G'), '0\n0\n0')
  t.equal(await shell(overHost(), 'id -u; id -g; id -G', { user: 1234 }), '1234\n0\n0')
  t.equal(await shell(overHost(), 'id -u; id -g', { user: '1234:567' }), '1234\n567')
  const user = { uid: 1, gid: 2, groups: [3, 4, 70000] }
  t.equal(await shell(overHost(), 'id -u; id -g; id -G', { user }), '1\n2\n2 3 4 70000')
})

t.test('an ordinary user has no capabilities but ambient ones', needsRoot, async t => {
  const look = 'grep -E "^Cap(Eff|Prm|Bnd|Amb)" /proc/self/status | cut -f2 | tr "\\n" " "'
  const none = '0000000000000000'
  t.equal(await shell(overHost(), look, { user: 1000 }), `${none} ${none} 00000000a80425fb ${none}`)
  const sets = ['NET_BIND_SERVICE'] as const
  const ambient = overHost().capabilities({
    bounding: sets,
    permitted: sets,
    effective: sets,
    inheritable: sets,
    ambient: sets,
  })
  const bit = '0000000000000400'
  t.equal(await shell(ambient, look, { user: 1000 }), `${bit} ${bit} ${bit} ${bit}`)
})

t.test('capabilities are what was asked for', needsRoot, async t => {
  const bits = (list: Parameters<Container['capabilities']>[0]) =>
    shell(
      overHost().capabilities(list),
      'grep -E "^Cap(Eff|Bnd)" /proc/self/status | cut -f2 | uniq',
    )
  t.equal(await bits([]), '0000000000000000')
  t.equal(await bits(['CHOWN', 'CAP_KILL']), '0000000000000021')
  const { stderr } = await run(overHost().capabilities([]), ['chown', '1', '/etc/passwd'])
  t.match(stderr, /Operation not permitted/, 'and what was not asked for does not work')
})

t.test('a capability that this process lacks can not be given', needsRoot, async t => {
  // Make sure that there is one: drop it from the bounding set on the way.
  const { execFile } = await import('node:child_process')
  const script = `
    const { Container, overlay } = await import('cofferdam')
    const box = () => new Container().rootfs(overlay({ lower: ['/'] }))
    const told = error => console.log(error.code, error.option, error.step, error.message)
    await box().capabilities(['CHOWN', 'SYS_TIME']).create().catch(told)
    await box().capabilities({ bounding: ['SYS_TIME'] }).create().catch(told)
    const all = await box().capabilities('all').create()
    const main = await all.start(['grep', 'CapEff', '/proc/self/status'])
    process.stdout.write(await main.stdout.text())
    await all.delete()`
  const output = await new Promise<string>((resolve, reject) =>
    execFile(
      'setpriv',
      ['--bounding-set', '-sys_time', process.execPath, '--input-type=module', '-e', script],
      (error, stdout) => (error ? reject(error) : resolve(stdout)),
    ),
  )
  const [list, sets, all = ''] = output.split('\n')
  const refused = /^EPERM capabilities undefined capabilities: SYS_TIME: .*CapBnd/
  t.match(list, refused)
  t.match(sets, refused, 'nor can it be in the bounding set')
  t.notOk((BigInt(`0x${all.split('\t')[1]}`) >> 25n) & 1n, 'all are those that there are')
})

t.test('signals and scheduling are those of any new process', needsContainers, async t => {
  t.equal(
    await shell(
      overHost(),
      'grep -E "^Sig(Blk|Ign)" /proc/1/status | cut -f2 | uniq; chrt -p 1 | head -1',
    ),
    "0000000000000000\npid 1's current scheduling policy: SCHED_OTHER",
  )
})

t.test('it leads a session without a terminal', needsContainers, async t => {
  t.equal(await shell(overHost(), 'ps -o sid=,tty= -p 1 | tr -d " "'), '1?')
})

t.test('it has three descriptors and no more', needsContainers, async t => {
  const { openSync, closeSync } = await import('node:fs')
  const fd = openSync('/etc/passwd', 'r')
  const { stdout } = await run(overHost(), ['ls', '/proc/1/fd'])
  t.equal(stdout, '0\n1\n2\n3\n', 'the last is of ls itself, which is process 1')
  closeSync(fd)
})

t.test('descriptors that lack close-on-exec stay outside too', needsContainers, async t => {
  const { spawnSync } = await import('node:child_process')
  const script = `
    const { Container, overlay } = await import('cofferdam')
    const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
    console.log(await (await box.start(['ls', '/proc/self/fd'])).stdout.text())
    await box.delete()`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', 'inherit', 'pipe', 'pipe'],
    encoding: 'utf8',
  })
  t.equal(stdout.trim(), '0\n1\n2\n3', 'the last is of ls itself')
})

t.test(
  'HOSTNAME of the environment follows each container of one description',
  needsRoot,
  async t => {
    const builder = overHost()
    for (let i = 0; i < 3; i++) {
      await using box = await builder.create()
      const main = await box.start(['sh', '-c', 'echo $HOSTNAME'])
      t.equal(await main.stdout.text(), `${box.id}\n`)
    }
  },
)

t.test('nothing is left behind', needsContainers, nothingLeft)
