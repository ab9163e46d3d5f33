import { readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { namespaces, plan } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import {
  kernelKinds,
  needsTime,
  openPidfd,
  output,
  sleeper,
  timeAtExec,
  timeFlag,
} from '../support/processes.js'
import { asUser } from '../support/unprivileged.js'

const nothingLeft = await rememberTraces()
const { openFile, openSocket, pathOf, readText, result, run } = namespaces
const { call } = plan
const kinds = kernelKinds
const isolated = ['unshare', '--mount', '--uts', '--ipc', '--net', '--cgroup', ...timeFlag]

/** The namespace of a kind that a process is in, by the descriptor that it opened itself. */
function ownNamespace(kind: namespaces.NamespaceKind): namespaces.Errand<string> {
  return {
    ...openFile(`/proc/thread-self/ns/${namespaces.kinds[kind].file}`),
    take: descriptor => {
      const link = readlinkSync(`/proc/self/fd/${descriptor.fd}`)
      descriptor.close()
      return link
    },
  } as namespaces.Errand<string>
}

const here = (kind: namespaces.NamespaceKind) => readlinkSync(pathOf(kind, process.pid))

t.test('each kind is joined by path, pid, pidfd and descriptor', needsRoot, async t => {
  const { pid } = await sleeper(t, ...isolated)
  using pidfd = await openPidfd(pid)
  for (const kind of kinds.filter(one => one !== 'user' && one !== 'pid')) {
    const there = readlinkSync(pathOf(kind, pid))
    if (kind !== 'time' || timeAtExec) t.not(there, here(kind))
    using open = namespaces.open(kind, { pid })
    const references = { path: pathOf(kind, pid), pid: { pid }, pidfd: { pidfd: pidfd.fd }, open }
    for (const [how, reference] of Object.entries(references))
      t.equal(await run({ [kind]: reference }, ownNamespace(kind)), there, `${kind} by ${how}`)
  }
  for (const kind of kinds) t.equal(await run({}, ownNamespace(kind)), here(kind))
})

t.test('several at once, of one process and of several', needsRoot, async t => {
  const [one, two] = [await sleeper(t, ...isolated), await sleeper(t, ...isolated)]
  const links = (where: namespaces.Where) =>
    run(where, [ownNamespace('network'), ownNamespace('uts'), ownNamespace('mount')])
  const of = (kind: namespaces.NamespaceKind, { pid }: { pid: number }) =>
    readlinkSync(pathOf(kind, pid))
  t.same(await links(namespaces.namespacesOf(one, ['network', 'uts', 'mount'])), [
    of('network', one),
    of('uts', one),
    of('mount', one),
  ])
  t.same(await links({ network: { pid: two.pid }, uts: pathOf('uts', one.pid) }), [
    of('network', two),
    of('uts', one),
    here('mount'),
  ])
  // All eight, of which the user namespace is this program's.
  t.equal(await run(namespaces.namespacesOf(one), ownNamespace('cgroup')), of('cgroup', one))
})

t.test('a PID namespace is joined by a child', needsRoot, async t => {
  const { pid: outer } = await sleeper(t, 'unshare', '--pid', '--fork', '--kill-child')
  const pid = Number((await output('pgrep', '-P', `${outer}`)).split('\n')[0])
  const answer = await run({ pid: { pid } }, [result(call('getpid', [])), ownNamespace('pid')])
  t.ok(answer[0] > 1n && answer[0] < 10n, `${answer[0]}`)
  t.equal(answer[1], readlinkSync(pathOf('pid', pid)))
  t.equal(await run({ pid: pathOf('pid', pid) }, ownNamespace('pid')), answer[1])
})

t.test('a user namespace is joined as its root, with all that it owns', needsRoot, async t => {
  const { pid } = await sleeper(
    t,
    ...['setpriv', '--reuid=61234', '--regid=61235', '--clear-groups'],
    ...['unshare', '--user', '--map-root-user', '--net', '--uts', '--mount'],
  )
  const uid = /^Uid:\t(.*)$/m
  const links = ['user', 'network', 'uts', 'mount'] as const
  for (const where of [
    namespaces.namespacesOf({ pid }, [...links]),
    Object.fromEntries(links.map(kind => [kind, pathOf(kind, pid)])),
  ]) {
    const [status, ...joined] = await run(where, [
      readText('/proc/thread-self/status'),
      ...links.map(ownNamespace),
    ] as const)
    t.match(uid.exec(status)?.[1], '0\t0\t0\t0')
    t.same(
      joined,
      links.map(kind => readlinkSync(pathOf(kind, pid))),
    )
  }
  const where = { user: { pid }, preserveCredentials: true }
  const kept = await run(where, readText('/proc/thread-self/status'))
  t.match(uid.exec(kept)?.[1], '65534\t65534\t65534\t65534')
})

t.test('a new namespace of each kind', needsRoot, async t => {
  for (const kind of kinds) {
    const link = await run({ unshare: [kind] }, ownNamespace(kind))
    t.match(link, /^[a-z]+:\[\d+\]$/)
    t.not(link, here(kind), kind)
  }
  const links = await run({ unshare: kinds }, kinds.map(ownNamespace))
  t.same(
    links.filter((link, i) => link === here(kinds[i] as 'uts')),
    [],
  )
  t.equal(await run({ unshare: ['pid'] }, result(call('getpid', []))), 1n)
})

t.test('a socket of a network namespace comes back', needsRoot, async t => {
  using socket = await run({ unshare: ['network'] }, openSocket(2, 1))
  t.match(readlinkSync(`/proc/self/fd/${socket.fd}`), /^socket:/)
  const { pid } = await sleeper(
    t,
    'unshare',
    '--net',
    'sh',
    '-c',
    'ip link set lo name blue; exec "$@"',
    'sh',
  )
  t.match(await run({ network: { pid } }, readText('/proc/net/dev')), /^ *blue:/m)
  t.notMatch(readFileSync('/proc/net/dev', 'utf8'), /blue:/)
})

t.test('what a job changes is gone with its namespace', needsRoot, async t => {
  const rename = { ...result(call('sethostname', ['renamed', 7])), name: 'rename' }
  const [, name] = await run({ unshare: ['uts'] }, [rename, readText('/proc/sys/kernel/hostname')])
  t.equal(name, 'renamed\n')
  t.not(hostname(), 'renamed')
})

t.test('mounts of a new mount namespace stay in it', needsRoot, async t => {
  const folder = scratch(t)
  const mount = result(call('mount', ['tmpfs', folder, 'tmpfs', 0, 0]))
  const [, mounts] = await run({ unshare: ['mount'] }, [mount, readText('/proc/self/mountinfo')])
  const line = mounts.split('\n').find(one => one.includes(` ${folder} `))
  t.match(line, / - tmpfs /)
  t.notMatch(line, /shared:|master:/)
  t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), folder)
  for (const [propagation, tag] of [
    ['shared', / shared:\d+ /],
    ['slave', /^((?!shared:).)*$/],
  ] as const) {
    const text = await run({ unshare: ['mount'], propagation }, readText('/proc/self/mountinfo'))
    t.match(
      text.split('\n').find(one => / \/ \/ /.test(one)),
      tag,
      propagation,
    )
  }
})

t.test('proc of the PID namespace is mounted if asked for', needsRoot, async t => {
  const where = { unshare: ['mount', 'pid'] as const }
  const status = readText('/proc/1/status')
  t.notMatch(await run(where, status), /^Name:\tmemfd:cofferdam/m)
  t.match(await run({ ...where, mountProc: true }, status), /^Name:\tmemfd:cofferdam/m)
})

t.test('maps of a new user namespace', needsRoot, async t => {
  const map = readText('/proc/thread-self/uid_map')
  t.match(await run({ unshare: ['user'] }, map), /^ +0 +0 +1\n$/)
  const idMappings = {
    uid: [{ containerId: 0, hostId: 100_000, size: 10 }],
    gid: [{ containerId: 0, hostId: 200_000, size: 10 }],
  }
  t.match(await run({ unshare: ['user'], idMappings }, map), /^ +0 +100000 +10\n$/)
})

t.test('clocks of a new time namespace, wherever else it is', needsTime, async t => {
  const { pid } = await sleeper(t, 'unshare', '--mount', '--user', '--map-root-user')
  const offsets = { timeOffsets: { boottime: '100d' } }
  const ahead = (text: string) => Number(text.split(' ')[0]) > 8_640_000
  const uptime = readText('/proc/uptime')
  t.notOk(ahead(readFileSync('/proc/uptime', 'utf8')))
  t.ok(ahead(await run({ unshare: ['time'], ...offsets }, uptime)))
  t.ok(ahead(await run({ unshare: ['time', 'user', 'pid'], ...offsets }, uptime)))
  t.ok(ahead(await run({ unshare: ['time'], mount: { pid }, ...offsets }, uptime)))
  t.ok(ahead(await run({ unshare: ['time'], user: { pid }, mount: { pid }, ...offsets }, uptime)))
})

t.test('of several errands none counts when one fails', needsRoot, async t => {
  const open = [openFile('/'), openFile('/proc')]
  const files = await run({ unshare: ['uts'] }, open)
  for (const file of files) file.close()
  const failing = run({ unshare: ['uts'] }, [...open, openFile('/does/not/exist')])
  await t.rejects(failing, { code: 'ENOENT', path: '/does/not/exist', step: /^open/ })
  // that no descriptor is left is for the last test to say
})

t.test('a job takes no longer than it may', needsRoot, async t => {
  const hour = Buffer.alloc(16)
  hour.writeBigInt64LE(3600n)
  const long = result(call('nanosleep', [{ bytes: hour, text: '{3600}' }, 0]))
  await t.rejects(run({ unshare: ['pid'] }, long, { timeout: 50 }), { code: 'ETIMEDOUT' })
  const signal = AbortSignal.timeout(50)
  await t.rejects(run({ unshare: ['network'] }, long, { signal }), { name: 'TimeoutError' })
})

t.test('what can not be is refused before anything is done', async t => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, '')
  const refused: [object, string][] = [
    [{ network: '/proc/self/ns/uts' }, 'where.network'],
    [{ network: file }, 'where.network'],
    [{ network: { pid: -1 } }, 'where.network.pid'],
    [{ net: { pid: 1 } }, 'where.net'],
    [{ unshare: 'uts' }, 'unshare'],
    [{ unshare: ['net'] }, 'unshare'],
    [{ unshare: ['mount'], propagation: 'public' }, 'propagation'],
    [{ unshare: ['mount'], mountProc: 'yes' }, 'mountProc'],
    [{ preserveCredentials: 1 }, 'preserveCredentials'],
    [{ unshare: ['time'], timeOffsets: { monotonic: 'soon' } }, 'timeOffsets.monotonic'],
    [{ unshare: ['user'], idMappings: { uid: [], gid: [] } }, 'idMappings.uid'],
  ]
  for (const [where, option] of refused)
    await t.rejects(
      run(where, openFile('/')),
      { code: 'ERR_INVALID_OPTION', option },
      JSON.stringify(where),
    )
  for (const [where, option] of [
    [{ timeOffsets: {} }, 'timeOffsets'],
    [{ idMappings: { uid: [], gid: [] } }, 'idMappings'],
    [{ propagation: 'slave' }, 'propagation'],
    [{ unshare: ['pid'], mountProc: true }, 'mountProc'],
    [{ unshare: ['uts'], uts: { pid: process.pid } }, 'unshare'],
  ] as const)
    await t.rejects(
      run(where as namespaces.Where, openFile('/')),
      { code: 'ERR_CONFLICT', option },
      JSON.stringify(where),
    )
  await t.rejects(run({ uts: { pid: 4_194_304 } }, openFile('/')), {
    code: 'ESRCH',
    option: 'where.uts',
  })
  await t.rejects(run({ uts: '/does/not/exist' }, openFile('/')), {
    code: 'ENOENT',
    option: 'where.uts',
  })
  for (const bad of [undefined, 'x', {}, [null], { name: 'x', operations: [], result, take() {} }])
    await t.rejects(run({}, bad as unknown as namespaces.Errand<unknown>), {
      code: 'ERR_INVALID_OPTION',
      option: 'errand',
    })
  for (const [make, option] of [
    [() => openFile('a\0b'), 'path'],
    [() => openFile('/', Number.NaN), 'how'],
    [() => namespaces.readText(undefined as unknown as string), 'path'],
    [() => namespaces.openSocket('inet' as unknown as number, 1), 'domain'],
    [() => namespaces.openSocket(2, 2 ** 40), 'type'],
    [() => result(undefined as unknown as plan.Operation), 'operation'],
    [() => namespaces.namespacesOf(null as unknown as { pid: number }), 'process'],
    [() => namespaces.namespacesOf({ pid: 1 }, ['net' as 'network']), 'kinds'],
    [() => namespaces.unshare(['net' as 'network']), 'unshare'],
    [() => namespaces.join('network', {} as { pid: number }), 'join'],
    [() => pathOf('toString' as 'network', 1), 'kind'],
    [() => pathOf('network', -1), 'pid'],
  ] as const)
    t.throws(make, { code: 'ERR_INVALID_OPTION', option }, `${make}`)
  await t.rejects(run({}, openFile('/'), { signal: 7 } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'signal',
  })
  await t.rejects(run({}, openFile('/'), { after: 1 } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'options.after',
  })
})

t.test('an ordinary user, in user namespaces of its own', needsRoot, async t => {
  const [uid, map, network, denied, joined, clock] = await asUser(
    t,
    `
    const { spawn } = await import('node:child_process')
    const { once } = await import('node:events')
    const { namespaces } = await import('cofferdam')
    const { run: go, readText } = namespaces
    const status = readText('/proc/thread-self/status')
    say(/^Uid:\\t(\\d+)/m.exec(await go({ unshare: ['user'] }, status))[1])
    say((await go({ unshare: ['user'] }, readText('/proc/thread-self/uid_map'))).trim().split(/ +/))
    say((await go({ unshare: ['user', 'network', 'pid', 'mount'] }, readText('/proc/net/dev'))).split('\\n').length)
    try { await go({ unshare: ['uts'] }, status) } catch (error) { say(told(error)) }
    const child = spawn('unshare', ['--user', '--map-root-user', '--net', '--uts', 'sh', '-c', 'hostname there; echo; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    const { pid } = child
    say(await go({ user: { pid }, uts: { pid } }, readText('/proc/sys/kernel/hostname')) +
      await go({ user: '/proc/' + pid + '/ns/user', uts: '/proc/' + pid + '/ns/uts' }, readText('/proc/sys/kernel/hostname')))
    child.kill()
    await once(child, 'exit')
    const offsets = { unshare: ['user', 'time'], timeOffsets: { boottime: '100d' } }
    if (existsSync('/proc/self/ns/time')) say(Number((await go(offsets, readText('/proc/uptime'))).split(' ')[0]) > 8640000)`,
  )
  t.equal(uid, '0')
  t.same(map, ['0', '61234', '1'])
  t.equal(network, 4) // two lines of headers, lo, and the end
  t.match(denied, { code: 'EPERM', syscall: 'unshare' })
  t.equal(joined, 'there\nthere\n')
  if (kinds.includes('time')) t.equal(clock, true)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
