import { execFileSync, spawn as spawnChild } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { namespaces, plan } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch, until } from '../support/index.js'
import { inMounts, kernelKinds, needsTime, output, sleeper } from '../support/processes.js'
import { asUser } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()
const { pathOf, spawn } = namespaces
const kinds = kernelKinds
const here = (kind: namespaces.NamespaceKind) => readlinkSync(pathOf(kind, process.pid))

/** What a program prints; throws when it does not end with 0. */
async function printed(argv: readonly string[], options: namespaces.SpawnOptions = {}) {
  const child = await spawn(argv, { ...options, stdio: 'pipe' })
  child.stdin.end()
  const [out, err, exit] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  if (exit.exitCode !== 0) throw new Error(`${argv.join(' ')}: ${JSON.stringify(exit)} ${err}`)
  return out.trimEnd()
}

t.test('a program runs as it would from a shell', async t => {
  const folder = scratch(t)
  t.equal(await printed(['sh', '-c', 'echo $0 $1', 'zero', 'one']), 'zero one')
  t.equal(await printed(['pwd'], { cwd: folder }), realpathSync(folder))
  t.equal(await printed(['pwd']), process.cwd())
  t.equal(await printed(['/usr/bin/env'], { env: { A: '1', B: undefined } }), 'A=1')
  t.equal(await printed(['/usr/bin/env'], { env: {} }), '')
  const named = JSON.parse('{ "__proto__": "1" }')
  t.equal(await printed(['/usr/bin/env'], { env: named }), '__proto__=1')
  t.equal(await printed(['sh', '-c', 'echo $PATH']), process.env.PATH)
  t.equal(
    await printed(['sh', '-c', 'umask']),
    execFileSync('sh', ['-c', 'umask'], { encoding: 'utf8' }).trim(),
  )
  const child = await spawn(['sh', '-c', 'cat; echo err >&2; exit 3'])
  t.ok(child.pid > 1)
  child.stdin.end('in')
  t.equal(await child.stdout.text(), 'in')
  t.equal(await child.stderr.text(), 'err\n')
  t.same(await child.exited, { exitCode: 3, signal: null })
})

t.test('signals are as any program expects them', async t => {
  const status = await printed(['cat', '/proc/self/status'])
  t.match(status, /^SigBlk:\t0{16}$/m)
  t.match(status, /^SigIgn:\t0{16}$/m)
  const child = await spawn(['sleep', '60'], { stdio: 'ignore' })
  t.equal(child.stdout, null)
  await child.kill('SIGTERM')
  t.same(await child.exited, { exitCode: null, signal: 'SIGTERM' })
})

t.test('further descriptors are 3, 4 and so on', async t => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, 'passed')
  const fd = openSync(file, 'r')
  const child = await spawn(['sh', '-c', 'cat <&3'], { stdio: ['ignore', 'pipe', 'inherit', fd] })
  closeSync(fd)
  t.equal(await child.stdout?.text(), 'passed')
  await child.exited
})

t.test('it has new namespaces of each kind, seen from both sides', needsRoot, async t => {
  for (const kind of kinds) {
    const child = await spawn(['sh', '-c', 'readlink /proc/self/ns/*; cat'], { unshare: [kind] })
    const links = readlinkSync(pathOf(kind, child.pid))
    t.not(links, here(kind), kind)
    for (const other of kinds)
      if (other !== kind) t.equal(readlinkSync(pathOf(other, child.pid)), here(other))
    child.stdin.end()
    t.match(await child.stdout.text(), links, kind)
    await child.exited
  }
  const child = await spawn(['cat'], { unshare: kinds })
  for (const kind of kinds) t.not(readlinkSync(pathOf(kind, child.pid)), here(kind), kind)
  const columns = ['--json', '--output', 'NS,TYPE', '--task', `${child.pid}`]
  const { namespaces: seen } = JSON.parse(await output('lsns', ...columns))
  t.equal(seen.length, kinds.length)
  for (const { ns, type } of seen) {
    const kind = kinds.find(one => namespaces.kinds[one].file === type) as 'uts'
    t.equal(Number(ns), namespaces.identify(kind, child).inode, type)
  }
  child.stdin.end()
  await child.exited
})

t.test('in a new PID namespace it is process 1, and has a proc if asked', needsRoot, async t => {
  t.equal(await printed(['sh', '-c', 'echo $$'], { unshare: ['pid'] }), '1')
  const options = { unshare: ['pid', 'mount'] as const, mountProc: true }
  t.match(await printed(['ps', '-o', 'pid=,comm=', '-ax'], options), /^ *1 ps$/)
  t.ok((await printed(['ps', '-ax'], { unshare: ['pid', 'mount'] })).split('\n').length > 3)
})

t.test('a proc that is mounted for it is nobody else’s', needsRoot, async t => {
  // In a mount namespace of the test's own, the mounts of which are shared.
  const counts = await inMounts(
    t,
    'shared',
    `
    const procs = () => readFileSync('/proc/self/mountinfo', 'utf8').match(/ \\/proc /g).length
    const before = procs()
    for (const propagation of ['private', 'slave', 'shared', 'unchanged']) {
      const options = { unshare: ['mount', 'pid'], mountProc: true, propagation }
      const child = await namespaces.spawn(['sh', '-c', 'echo /proc/[0-9]*'], options)
      say(await child.stdout.text())
      await child.exited
      say(procs() - before)
    }`,
  )
  t.same(counts, ['/proc/1\n', 0, '/proc/1\n', 0, '/proc/1\n', 0, '/proc/1\n', 0])
})

t.test('its mounts are its own', needsRoot, async t => {
  const folder = scratch(t)
  const script = `mount -t tmpfs none ${folder}; touch ${folder}/inside; ls ${folder}`
  t.equal(await printed(['sh', '-c', script], { unshare: ['mount'] }), 'inside')
  t.notOk(existsSync(join(folder, 'inside')))
})

t.test('it joins several namespaces, as nsenter does', needsRoot, async t => {
  const before = ['unshare', '--net', '--uts', '--ipc', '--mount', '--pid', '--fork']
  const { pid: outer } = await sleeper(t, ...before, '--kill-child', '--mount-proc')
  const pid = Number((await output('pgrep', '-P', `${outer}`)).split('\n')[0])
  await output('nsenter', '--target', `${pid}`, '--uts', 'hostname', 'there')
  const wanted = ['network', 'uts', 'ipc', 'mount', 'pid'] as const
  const script = 'hostname; readlink /proc/self/ns/*; ps -C sleep -o pid=,comm=; pwd'
  const expected = await output(
    ...(['nsenter', '--target', `${pid}`, '--net', '--uts', '--ipc', '--mount', '--pid'] as const),
    ...(['sh', '-c', script] as const),
  )
  t.match(expected, /^there\n/)
  const joining = namespaces.namespacesOf({ pid }, wanted)
  t.equal(await printed(['sh', '-c', script], { join: joining }), expected)
  const paths = Object.fromEntries(wanted.map(kind => [kind, pathOf(kind, pid)]))
  t.equal(await printed(['sh', '-c', script], { join: paths }), expected)
})

t.test('it joins some, and has new ones besides', needsRoot, async t => {
  const { pid } = await sleeper(t, 'unshare', '--net')
  const options = { join: { network: { pid } }, unshare: ['uts', 'pid'] as const }
  const child = await spawn(['cat'], options)
  t.equal(readlinkSync(pathOf('network', child.pid)), readlinkSync(pathOf('network', pid)))
  t.not(readlinkSync(pathOf('uts', child.pid)), here('uts'))
  child.stdin.end()
  await child.exited
})

t.test('in a user namespace it is root, who this program’s user is outside', needsRoot, async t => {
  const options = { unshare: ['user'] as const }
  t.equal(await printed(['id', '-u'], options), '0')
  const kept = { ...options, idMappings: ids(100_000), preserveCredentials: true }
  t.equal(await printed(['id', '-u'], kept), '65534')
  const child = await spawn(['sh', '-c', 'id -u; id -g; echo >/dev/stdout; cat'], {
    ...options,
    idMappings: ids(100_000),
  })
  t.equal(statSync(`/proc/${child.pid}`).uid, 100_000)
  t.match(readFileSync(`/proc/${child.pid}/uid_map`, 'utf8'), /^ +0 +100000 +10\n$/)
  child.stdin.end()
  t.equal(await child.stdout.text(), '0\n0\n\n')
  await child.exited
})

function ids(hostId: number): namespaces.IdMappings {
  return {
    uid: [{ containerId: 0, hostId, size: 10 }],
    gid: [{ containerId: 0, hostId, size: 10 }],
  }
}

t.test('its clocks are ahead, as unshare has them', needsTime, async t => {
  const options = { unshare: ['time'] as const, timeOffsets: { boottime: '100d', monotonic: '1h' } }
  const offsets = await printed(['cat', '/proc/self/timens_offsets'], options)
  t.equal(
    offsets,
    await output(
      'unshare',
      '--time',
      '--boottime=8640000',
      '--monotonic=3600',
      '--fork',
      'cat',
      '/proc/self/timens_offsets',
    ),
  )
  const ahead = await printed(['cat', '/proc/uptime'], options)
  t.ok(Number(ahead.split(' ')[0]) > 8_640_000)
  t.ok(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) < 8_640_000)
})

t.test('a program that is missing, and one that is none', async t => {
  // As execvp(3) has it, a folder of PATH that one may not look into would be EACCES.
  const env = { PATH: '/usr/bin:/bin' }
  await t.rejects(spawn(['no-such-program'], { env }), { code: 'ENOENT', step: 'exec' })
  await t.rejects(spawn(['sleep', '1'], { env: { PATH: '/nowhere' } }), { code: 'ENOENT' })
  const file = join(scratch(t), 'file')
  writeFileSync(file, 'x', { mode: 0o644 })
  await t.rejects(spawn([file]), { code: 'EACCES', path: file })
  await t.rejects(spawn(['true'], { cwd: '/does/not/exist' }), { code: 'ENOENT', step: 'ready' })
})

t.test('steps of one’s own come before the program', needsRoot, async t => {
  const rename = plan.step('rename', plan.call('sethostname', ['stepped', 7]))
  t.equal(await printed(['hostname'], { unshare: ['uts'], steps: [rename] }), 'stepped')
  const failing = plan.step('failing', plan.call('mkdirat', [plan.AT_FDCWD, '/proc/x', 0o755]))
  await t.rejects(spawn(['true'], { steps: [failing] }), {
    code: 'ENOENT',
    step: 'failing',
    syscall: 'mkdirat',
  })
  const unknown = plan.step('unknown', plan.call('no_such_call' as plan.SyscallName, []))
  await t.rejects(spawn(['true'], { steps: [unknown] }), { code: 'ERR_INVALID_OPTION' })
  let pid = 0
  const look: plan.Step = {
    side: 'waiting',
    name: 'look',
    run: context => {
      pid = context.pid
    },
  }
  const child = await spawn(['true'], { unshare: ['pid'], steps: [look] })
  t.equal(child.pid, pid)
  await child.exited
})

t.test('what is joined already is left out, so that all of a process can be joined', async t => {
  const child = await spawn(['cat'], {
    unshare: process.getuid?.() === 0 ? ['uts'] : ['user', 'uts'],
  })
  t.equal(
    await printed(['readlink', '/proc/self/ns/uts', '/proc/self/ns/net'], {
      join: namespaces.namespacesOf(child, kinds),
    }),
    `${readlinkSync(pathOf('uts', child.pid))}\n${here('network')}`,
  )
  child.stdin.end()
  await child.exited
})

t.test('it can be left to the end of a block', async t => {
  let pid = 0
  {
    await using child = await spawn(['cat'])
    pid = child.pid
    t.ok(existsSync(`/proc/${pid}`))
  }
  t.notOk(existsSync(`/proc/${pid}`))
  await using ended = await spawn(['true'])
  await ended.exited
})

t.test('an error does not tell what is in the environment', async t => {
  const error = await spawn(['/does/not/exist'], { env: { TOKEN: 'secret' } }).catch(e => e)
  t.equal(error.code, 'ENOENT')
  t.notMatch(error.message + error.operation, /secret/)
})

t.test('a signal gives up, and ends it later', async t => {
  const early = AbortSignal.abort(new Error('early'))
  await t.rejects(spawn(['sleep', '60'], { signal: early }), { message: 'early' })
  const controller = new AbortController()
  const child = await spawn(['sleep', '60'], { signal: controller.signal, stdio: 'ignore' })
  controller.abort(new Error('late'))
  t.same(await child.exited, { exitCode: null, signal: 'SIGKILL' })
  const during = new AbortController()
  const never = { side: 'waiting' as const, name: 'never', run: () => new Promise<void>(() => 0) }
  const starting = spawn(['true'], { signal: during.signal, steps: [never] })
  setTimeout(() => during.abort(new Error('during')), 20)
  await t.rejects(starting, { message: 'during' })
})

t.test('it dies with the program that made it', needsRoot, async t => {
  const script = `
    import { namespaces } from 'cofferdam'
    for (const unshare of [[], ['pid'], ['user', 'pid'], ['mount', 'user']]) {
      const { pid } = await namespaces.spawn(['sleep', '600'], { unshare, stdio: 'ignore' })
      console.log(pid)
    }
    console.log('done')`
  const host = spawnChild(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  host.stdout.on('data', bytes => {
    said += bytes
  })
  t.ok(await until(() => said.includes('done')))
  const pids = said.match(/\d+/g)?.map(Number) ?? []
  t.equal(pids.length, 4)
  for (const pid of pids) t.ok(existsSync(`/proc/${pid}/root`), `${pid} is there`)
  host.kill('SIGKILL')
  await once(host, 'exit')
  const gone = (pid: number) => {
    try {
      return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    } catch {
      return true
    }
  }
  for (const pid of pids) t.ok(await until(() => gone(pid)), `${pid} is gone`)
})

t.test('what can not be is refused before anything is done', async t => {
  const one = [{ containerId: 1, hostId: 0 }]
  for (const [argv, options, option] of [
    [[], {}, 'argv'],
    [['true'], { env: { 'A=': '1' } }, 'env'],
    [['true'], { cwd: '' }, 'cwd'],
    [['true'], { stdio: 'tty' }, /^stdio/],
    [['true'], { stdio: { log: '/tmp/log' } }, 'stdio'],
    [['true'], { steps: 'none' }, 'steps'],
    [['true'], { user: 0 }, 'spawn.user'],
    [['true'], { join: { network: 7 } }, 'join.network'],
    [['true'], { join: { network: '/proc/self/ns/uts' } }, 'join.network'],
    [['true'], { unshare: ['disk'] }, 'unshare'],
    [['true'], { unshare: [Object.create(null)] }, 'unshare'],
    [['true'], { join: { network: { pid: 1, fd: 1 } } }, 'join.network'],
    [new Array(2), {}, 'argv'],
    [['true'], { stdio: 'constructor' }, 'stdio[0]'],
    [['true'], { steps: [{}] }, 'steps[0]'],
    [['true'], { signal: {} }, 'signal'],
    [['true'], { unshare: ['user'], idMappings: { uid: one, gid: one } }, 'idMappings.uid'],
  ] as const)
    await t.rejects(
      spawn(argv, options as namespaces.SpawnOptions),
      { code: 'ERR_INVALID_OPTION', option },
      `${option}`,
    )
  await t.rejects(spawn(['true'], { join: { pid: { pid: 4_194_304 } } }), { code: 'ESRCH' })
})

t.test('an ordinary user’s', needsRoot, async t => {
  const folder = scratch(t)
  mkdirSync(join(folder, 'own'))
  const said = await asUser(
    t,
    `
    const { namespaces } = await import('cofferdam')
    const printed = async (argv, options) => {
      const child = await namespaces.spawn(argv, options)
      const text = await child.stdout.text() + await child.stderr.text()
      await child.exited
      return text
    }
    const unshare = ${JSON.stringify(kinds)}
    say(await printed(['sh', '-c', 'id -u; echo $$; cat /proc/self/uid_map /proc/1/comm'], { unshare, mountProc: true }))
    say(await printed(['id', '-u'], {}))
    const owner = await namespaces.spawn(['cat'], { unshare })
    say(await printed(['sh', '-c', 'hostname mine; hostname; id -u'], { join: namespaces.namespacesOf(owner, ['user', 'uts', 'pid']) }))
    owner.stdin.end()
    await owner.exited
    try { await namespaces.spawn(['true'], { unshare: ['uts'] }) } catch (error) { say(told(error)) }
    try { await namespaces.spawn(['true'], { join: { network: { pid: 1 } } }) } catch (error) { say(told(error)) }`,
  )
  t.match(said[0], /^0\n1\n +0 +61234 +1\nsh\n$/)
  t.equal(said[1], '61234\n')
  t.equal(said[2], 'mine\n0\n')
  t.match(said[3], { code: 'EPERM', syscall: 'unshare', hint: /CAP_SYS_ADMIN/ })
  t.match(said[4], { code: 'EACCES', option: 'join.network', hint: /ptrace/ })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
