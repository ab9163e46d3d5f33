import t from 'tap'
import { needsRoot } from '../support/index.js'
import { asUser, GROUP, SUBORDINATE, USER } from '../support/unprivileged.js'

// Everything here is done by an ordinary user; root is only needed to become one.

t.test('by default it has a user namespace, with the own id as root', needsRoot, async t => {
  const [outside, inside] = await asUser(
    t,
    `const box = await overHost('mine').create()
    const proc = name => readFileSync('/proc/' + box.pid + '/' + name, 'utf8')
    say([proc('uid_map'), proc('gid_map'), proc('setgroups'), /^Uid:.*$/m.exec(proc('status'))[0],
      ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup'].filter(kind =>
        readlinkSync('/proc/' + box.pid + '/ns/' + kind) === readlinkSync('/proc/self/ns/' + kind))])
    say((await runIn(box, ['sh', '-c', \`id -u; id -g; id -G; hostname; echo $$
      grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | cut -f2
      echo by path > /dev/stdout; ls /proc | grep -c '^[0-9]'\`])).stdout.split('\\n'))
    await box.delete()`,
  )
  const [uidMap, gidMap, setgroups, uids, shared] = outside as string[]
  t.match(uidMap, new RegExp(`^\\s*0\\s+${USER}\\s+1\n$`))
  t.match(gidMap, new RegExp(`^\\s*0\\s+${GROUP}\\s+1\n$`))
  t.equal(setgroups, 'deny\n')
  t.equal(uids, `Uid:\t${USER}\t${USER}\t${USER}\t${USER}`)
  t.same(shared, [])
  const docker = '00000000a80425fb'
  const expected = ['0', '0', '0', 'mine', '1', docker, docker, '1', 'by path']
  t.same((inside as string[]).slice(0, 9), expected)
  t.ok(Number((inside as string[])[9]) <= 5)
})

t.test('what is mounted for it belongs to its root', needsRoot, async t => {
  const [said] = await asUser(
    t,
    `say(await sh(overHost().mount(tmpfs('/srv')),
      "stat -c '%n %u:%g %a' / /dev /dev/shm /dev/pts /dev/pts/ptmx /dev/mqueue /srv /usr /tmp /root"))`,
  )
  t.same((said as string).split('\n'), [
    '/ 0:0 755',
    '/dev 0:0 755',
    '/dev/shm 0:0 1777',
    '/dev/pts 0:0 755',
    '/dev/pts/ptmx 0:0 666',
    '/dev/mqueue 0:0 1777',
    '/srv 0:0 1777',
    '/usr 0:0 755',
    '/tmp 0:0 1777',
    '/root 0:0 700',
  ])
})

t.test('the host’s root is composed of overlays', needsRoot, async t => {
  const [said, inside, still, limited] = await asUser(
    t,
    `const own = process.env.OWN
    writeFileSync(own + '/precious', 'still here')
    mkdirSync(own + '/full')
    writeFileSync(own + '/full/x', 'x')
    say(await sh(overHost(), \`rm \${own}/precious && ls \${own}; rm -r \${own}/full && mkdir \${own}/full && ls \${own}/full
      touch /usr/new /root/new && echo made; readlink /bin; cat /var/tmp/seen
      touch /var/new 2>&1 | grep -o 'Read-only'; ls /var/tmp/secret 2>&1 | grep -o denied\`))
    say(await sh(overHost(), 'ls /usr/new /root/new 2>/dev/null; cat ' + own + '/full/x'))
    say(readFileSync(own + '/precious', 'utf8'))
    say(await sh(new Container().rootfs(overlay({ lower: ['/'], size: '1MiB' })),
      'head -c 2000000 /dev/zero > /usr/x; stat -c %s /usr/x'))`,
    {
      // What has other mounts below can be no overlay, nor what is nobody's to read.
      before: `mount -t tmpfs none /var/tmp; echo below > /var/tmp/seen; mkdir -m 700 /var/tmp/secret`,
    },
  )
  t.equal(said, 'full\nmade\nusr/bin\nbelow\nRead-only\ndenied')
  t.equal(inside, 'x', 'and nothing of it is kept')
  t.equal(still, 'still here')
  t.match(limited, /No space left/)
})

t.test('exec, other users, terminals, signals, stop', needsRoot, async t => {
  const said = await asUser(
    t,
    `const box = await overHost().create()
    const main = await box.start(['sh', '-c', 'trap "exit 7" TERM; sleep 60 & echo ready; wait'], { user: 'root' })
    for await (const line of main.stdout.lines()) { say(line); break }
    const other = await box.exec(['sh', '-c', 'id -u; hostname; grep CapEff /proc/self/status; echo x > /dev/stdout'])
    say([await other.stdout.text(), (await other.exited).exitCode])
    const shell = terminalShell(await box.exec(['bash', '--norc', '-i'], { terminal: { rows: 30, columns: 90 } }))
    say(await shell.type('tty; stty size', /30 90/))
    shell.process.terminal.resize({ rows: 40, columns: 100 })
    say(await shell.type('stty size', /40 100/))
    await shell.type('sleep 61', /sleep/)
    say(await shell.press('\\x1a', /Stopped/))
    say((await shell.type('jobs; fg', /sleep 61\\s+sleep 61/)).includes('Stopped'))
    await shell.press('\\x03', /# $/)
    await shell.type('exit', /exit/)
    await shell.process.exited
    say((await box.processes()).map(({ containerPid, name, uid }) => [containerPid, name, uid]))
    say(await box.stop())
    await box.delete()

    const reaper = await overHost().create()
    const child = await reaper.start(['sleep', '62'], { init: true })
    const joined = await reaper.exec(['sh', '-c', 'ps -o pid,comm ax'], { user: 'root' })
    say(await joined.stdout.text())
    await joined.exited
    const second = await reaper.exec(['sleep', '63'])
    await reaper.kill('SIGKILL', { all: true })
    say([await child.exited, await second.exited])
    await reaper.delete()`,
  )
  t.equal(said[0], 'ready')
  t.same(said[1], [`0\n${said[1]?.toString().split('\n')[1]}\nCapEff:\t00000000a80425fb\nx\n`, 0])
  t.match(said[2], /\/dev\/pts\/0/)
  t.equal(said[5], true)
  t.same(said[6], [
    [1, 'sh', USER],
    [(said[6] as number[][])[1]?.[0], 'sleep', USER],
  ])
  t.same(said[7], { exitCode: 7, signal: null })
  t.match(said[8], /1 init\n\s+\d+ sleep/)
  // Its init has seen the child's end, or not any more.
  t.match(JSON.stringify((said[9] as unknown[])[0]), /"exitCode":137|"SIGKILL"/)
  t.same((said[9] as unknown[])[1], { exitCode: null, signal: 'SIGKILL' })
})

t.test('subordinate ids follow, by newuidmap', needsRoot, async t => {
  const said = await asUser(
    t,
    `const box = await overHost().create()
    say(readFileSync('/proc/' + box.pid + '/uid_map', 'utf8').trim().split(/\\s+/).map(Number))
    say(readFileSync('/proc/' + box.pid + '/gid_map', 'utf8').trim().split(/\\s+/).map(Number))
    const main = await box.start(['sh', '-c', 'id; echo x > /dev/stdout; exec sleep 60'], { user: { uid: 1000, gid: 1001, groups: [7] } })
    const lines = main.stdout.lines()
    say([(await lines.next()).value, (await lines.next()).value])
    say(statSync('/proc/' + main.pid).uid)
    const own = await box.exec(['sh', '-c', 'touch /tmp/x; chown 5:6 /tmp/x; stat -c %u:%g /tmp/x /dev/pts/ptmx; grep -c . /proc/self/uid_map; id -G; echo x > /dev/stdout'])
    say(await own.stdout.text())
    const tty = await box.exec(['sh', '-c', 'stat -c %u:%g $(tty)'], { terminal: true, user: 9 })
    say(await tty.terminal.text())
    say(await sh(overHost(), 'id -u', { init: true, user: 2 }))
    main.kill('SIGTERM')
    say(await box.stop({ timeout: 200 }))
    await box.delete()`,
    { subordinate: true },
  )
  t.same(said[0], [0, USER, 1, 1, SUBORDINATE, 65_536])
  t.same(said[1], [0, GROUP, 1, 1, SUBORDINATE, 65_536])
  t.same(said[2], ['uid=1000 gid=1001 groups=1001,7', 'x'])
  t.equal(said[3], SUBORDINATE + 999)
  t.equal(said[4], '5:6\n0:0\n2\n0\nx\n')
  t.equal(said[5], '9:5\r\n')
  t.equal(said[6], '2')
  t.same(said[7], { exitCode: null, signal: 'SIGKILL' })
})

t.test('mappings of the caller’s', needsRoot, async t => {
  const attempt = `
    const ids = (hostId, size = 1) => [{ containerId: 0, hostId, size }]
    const attempt = async (uid, gid) => {
      try { say(await sh(overHost().idMappings({ uid, gid }), 'cat /proc/self/uid_map | tr -s " "')) }
      catch (error) { say(told(error)) }
    }`
  const own = `ids(${USER}), ids(${GROUP})`
  const given = `ids(${SUBORDINATE}, 100), ids(${SUBORDINATE}, 100)`
  const foreign = 'ids(0, 100), ids(0, 100)'
  const [direct, helped, refused] = await asUser(
    t,
    `${attempt}; await attempt(${own}); await attempt(${given}); await attempt(${foreign})`,
    { subordinate: true },
  )
  t.equal(direct, `0 ${USER} 1`)
  t.equal(helped, `0 ${SUBORDINATE} 100`)
  t.match(refused, {
    code: 'ERR_ID_MAPPING',
    step: 'id maps',
    path: 'newuidmap',
    message: /uid range .* not allowed/,
    hint: /\/etc\/subuid/,
  })
  const [missing] = await asUser(
    t,
    `process.env.PATH = '/nowhere'; ${attempt}; await attempt(${given})`,
    {
      subordinate: true,
    },
  )
  t.match(missing, { code: 'ENOENT', step: 'id maps', hint: /apt-get install uidmap/ })
  const [automatic] = await asUser(
    t,
    `process.env.PATH = '/nowhere'; say(await sh(overHost(), 'cat /proc/self/uid_map | tr -s " "'))`,
    { subordinate: true },
  )
  t.equal(automatic, `0 ${USER} 1`, 'without newuidmap there is the one id')
})

t.test(
  'users and groups that there are not are refused before anything is done',
  needsRoot,
  async t => {
    const said = await asUser(
      t,
      `const box = await overHost().create()
    for (const user of [1, '0:1', { uid: 0, groups: [5] }, { uid: 0, groups: [0] }])
      await box.start(['true'], { user }).catch(error => say(told(error)))
    say(box.status)
    await box.delete()`,
    )
    for (const error of said.slice(0, 4))
      t.match(error, { code: 'ERR_INVALID_OPTION', option: 'user' })
    t.equal(said[4], 'created')
  },
)

t.test('a directory of its own as the root, targets and all', needsRoot, async t => {
  const [said, left] = await asUser(
    t,
    `const root = process.env.OWN + '/root'
    mkdirSync(root + '/usr', { recursive: true })
    mkdirSync(process.env.OWN + '/data')
    const builder = new Container().rootfs(root, { readonly: true })
      .mount(bind('/usr', '/usr', { readonly: true }), bind(process.env.OWN + '/data', '/data'), tmpfs('/tmp'))
    const { stdout, stderr } = await run(builder, ['/usr/bin/bash', '-c', 'echo x > /data/x; echo x > /tmp/x; echo x > /x; echo *'],
      { env: { LD_LIBRARY_PATH: '/usr/lib' } })
    say(stdout + stderr)
    const { readdirSync } = await import('node:fs')
    say([readdirSync(root), readFileSync(process.env.OWN + '/data/x', 'utf8'), statSync(process.env.OWN + '/data/x').uid])`,
    {
      before: `mkdir -p $OWN/root; ln -s usr/lib64 $OWN/root/lib64; ln -s usr/lib $OWN/root/lib; chown -Rh ${USER}:${GROUP} $OWN/root`,
    },
  )
  t.match(said, /^data dev lib lib64 proc sys tmp usr\n.*Read-only/s)
  t.same(left, [['lib', 'lib64', 'usr'], 'x\n', USER])
})

t.test('joining a user namespace, and others with it', needsRoot, async t => {
  const said = await asUser(
    t,
    `const first = await overHost('first').create()
    const main = await first.start(['sleep', '60'])
    const of = kind => '/proc/' + first.pid + '/ns/' + kind
    const second = await overHost('second')
      .isolate({ user: of('user'), network: of('net'), ipc: of('ipc') }, 'mount', 'pid', 'uts', 'cgroup')
      .proc('new').sysfs('new').create()
    for (const kind of ['user', 'net', 'ipc', 'pid', 'mnt'])
      say(readlinkSync('/proc/' + second.pid + '/ns/' + kind) === readlinkSync(of(kind)))
    const process = await second.start(['sh', '-c', 'id -u; echo $$; hostname; touch /usr/x; grep CapEff /proc/self/status; read x'])
    const lines = process.stdout.lines()
    for (let i = 0; i < 4; i++) say((await lines.next()).value)
    const other = await second.exec(['id', '-u'])
    say(await other.stdout.text())
    process.stdin.end()
    await process.exited
    await second.delete()
    await first.delete()
    await overHost().isolate({ user: '/proc/self/ns/user' }, 'mount').create().catch(error => say(told(error)))
    await overHost().isolate({ network: '/proc/1/ns/net' }, 'mount').create().catch(error => say(told(error)))
    const own = await overHost().isolate({ network: '/proc/self/ns/net' }, 'mount', 'pid', 'ipc').sysfs('bind').create()
    say(readlinkSync('/proc/' + own.pid + '/ns/net') === readlinkSync('/proc/self/ns/net'))
    await own.delete()`,
  )
  t.same(said.slice(0, 5), [true, true, true, false, false])
  t.same(said.slice(5, 9), ['0', '1', 'second', 'CapEff:\t00000000a80425fb'])
  t.equal(said[9], '0\n')
  t.match(said[10], { code: 'EINVAL', syscall: 'setns', step: 'join user namespace' })
  t.match(said[11], { code: 'EACCES', option: 'isolate.network' })
  t.equal(said[12], true, 'the one that it is in already needs no right')
})

t.test('proc and sysfs that may not be new', needsRoot, async t => {
  const attempt = `
    const attempt = async (builder, script) => {
      try { say(await sh(builder, script)) } catch (error) { say(told(error)) }
    }`
  // As an outer container has it.
  const masked = await asUser(
    t,
    `${attempt}
    await attempt(overHost(), 'true')
    await attempt(overHost().proc('bind'), \`cut -d' ' -f5,6 /proc/self/mountinfo | grep -c '^/proc/sys ro'
      wc -c < /proc/keys; test -e /proc/\${process.pid} && echo seen; ls /proc/irq; readlink /proc/self/exe\`)`,
    { before: 'mount --bind /dev/null /proc/timer_list; mount -t tmpfs none /proc/irq' },
  )
  t.match(masked[0], { code: 'EPERM', step: 'proc', hint: /proc\('bind'\)/ })
  t.match(masked[1], /^1\n0\nseen\n\/usr\/bin\/readlink$/)
  const shared = await asUser(
    t,
    `${attempt}
    await attempt(overHost().isolate('mount', 'pid', 'ipc'), 'true')
    await attempt(overHost().isolate('mount', 'pid', 'ipc').sysfs('bind'), \`
      cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/sys ' | cut -c 1-7; ls /sys/class | grep net\`)
    await attempt(overHost().isolate('mount', 'network', 'ipc'), 'true')
    await attempt(overHost().isolate('mount', 'network', 'ipc').proc('bind'), 'test -e /proc/self/status && echo self')
    await attempt(overHost().isolate('mount', 'network', 'pid'), 'true')
    for (const wrong of ['old', true]) try { overHost().proc(wrong) } catch (error) { say(told(error)) }`,
  )
  t.match(shared[0], { code: 'EPERM', step: 'sysfs', hint: /sysfs\('bind'\)/ })
  t.equal(shared[1], '/sys ro\nnet')
  t.match(shared[2], { code: 'EPERM', step: 'proc', hint: /proc\('bind'\)/ })
  t.equal(shared[3], 'self')
  t.match(shared[4], { code: 'EPERM', step: 'dev', hint: /isolate\('ipc'\)/ })
  t.match(shared[5], { code: 'ERR_INVALID_OPTION', option: 'proc' })
  t.match(shared[6], { code: 'ERR_INVALID_OPTION', option: 'proc' })
})

t.test('it ends with a host that is killed', needsRoot, async t => {
  const [pid] = await asUser(
    t,
    `const { spawn } = await import('node:child_process')
    const { setTimeout } = await import('node:timers/promises')
    const child = spawn(process.execPath, ['--input-type=module', '-e', \`
      import { Container, overlay } from 'cofferdam'
      const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
      await box.start(['sleep', '60'], { stdio: 'ignore' })
      console.log(box.pid)
      setInterval(() => {}, 1000)\`], { stdio: ['ignore', 'pipe', 'inherit'] })
    const pid = await new Promise(resolve => child.stdout.once('data', text => resolve(Number(text))))
    if (!existsSync('/proc/' + pid)) throw new Error('it did not run')
    child.kill('SIGKILL')
    if (!(await until(() => !existsSync('/proc/' + pid)))) throw new Error('it lives on')
    say(pid)`,
  )
  t.type(pid, 'number')
})

t.test('detached and released ones, hooks and files', needsRoot, async t => {
  const said = await asUser(
    t,
    `const state = { stateFolder: process.env.OWN + '/state' }
    for (const lifetime of ['detached', 'released']) {
      const box = await overHost('kept').create({ lifetime, ...state })
      const again = await Container.load('kept', state)
      const main = await again.start(['sh', '-c', 'id -u; read line; echo $line'])
      const other = await (await Container.load('kept', state)).exec(['hostname'])
      say((await other.stdout.text()).trim())
      main.stdin.end('x')
      say([await main.stdout.text(), (await main.exited).exitCode, box.status])
      await again.delete()
      say((await Container.list(state)).length)
    }
    const order = []
    const script = name => ({ path: '/bin/sh', args: ['sh', '-c', 'echo ' + name + ' >&2; id -u >&2; exit 3'] })
    for (const point of ['createRuntime', 'createContainer', 'startContainer'])
      await (async () => {
        const box = await overHost().hooks({ [point]: script(point) }).create()
        try { await box.start(['true']) } finally { await box.delete() }
      })().catch(error => say([error.code, error.message.includes(point + '\\n') || error.message]))
    const box = await overHost().create()
    const main = await box.start(['sh', '-c', 'echo hi > /tmp/own; mkdir /tmp/there; echo x; sleep 60'])
    for await (const line of main.stdout.lines()) break
    const chunks = []
    for await (const chunk of box.archive('/tmp/own')) chunks.push(chunk)
    say(Buffer.concat(chunks).length > 1000)
    await box.extract('/tmp/there', (async function* () { yield* chunks })())
    const seen = await box.exec(['cat', '/tmp/there/own'])
    say((await seen.stdout.text()) === 'hi\\n')
    await box.delete()`,
  )
  t.same(said.slice(0, 6), [
    'kept',
    ['0\nx\n', 0, 'stopped'],
    0,
    'kept',
    ['0\nx\n', 0, 'stopped'],
    0,
  ])
  t.same(said.slice(6, 9), [
    ['ERR_HOOK', true],
    ['ERR_HOOK', true],
    ['ERR_HOOK', true],
  ])
  t.same(said.slice(9), [true, true])
})
