import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bind, type Check, doctor, type Report } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot, overHost, rememberTraces, run, scratch } from '../support/index.js'

const nothingLeft = await rememberTraces()

const example = fileURLToPath(new URL('../../examples/doctor.js', import.meta.url))

/** The report of a program that `command` has taken something from; and its exit code. */
function reportOf(...command: string[]): Promise<Report & { exitCode: number }> {
  const [file, ...args] = [...command, process.execPath, example, '--json']
  return new Promise((resolve, reject) =>
    execFile(file as string, args, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve({ ...JSON.parse(stdout), exitCode: error === null ? 0 : Number(error.code) })
    }),
  )
}

function find({ checks }: Report, group: string, name: string): Check {
  const found = checks.find(check => check.group === group && check.name === name)
  if (found === undefined) throw new Error(`no check ${group}: ${name}`)
  return found
}

const ordinaryUser = ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups']
const without = (...capabilities: string[]) => {
  const set = capabilities.map(name => `-${name}`).join(',')
  return ['setpriv', '--bounding-set', set, '--inh-caps', set]
}

/** Whether a command of the system manages to do the same. */
function manages(prefix: readonly string[], ...command: string[]): boolean {
  const [file, ...args] = [...prefix, ...command]
  const { status, error } = spawnSync(file as string, args, { stdio: 'ignore' })
  if (error !== undefined) throw error
  return status === 0
}

/** What unshare(1) calls each kind. */
const options: Record<string, string> = {
  user: '--user',
  cgroup: '--cgroup',
  ipc: '--ipc',
  mount: '--mount',
  network: '--net',
  pid: '--pid',
  time: '--time',
  uts: '--uts',
}

/** Compares each kind of namespace with what unshare(1) manages, with the same prefix. */
function compareNamespaces(t: Test, report: Report, prefix: readonly string[]) {
  for (const [kind, option] of Object.entries(options)) {
    const check = find(report, 'namespaces', kind)
    const fork = kind === 'pid' ? ['--fork'] : []
    const directly = manages(prefix, 'unshare', option, ...fork, 'true')
    t.equal(check.ok === true, directly, `${kind}, as unshare ${option}`)
    const nested = manages(prefix, 'unshare', '--user', '--map-root-user', option, ...fork, 'true')
    if (!directly && kind !== 'user')
      t.equal(check.ok, nested ? 'partly' : false, `${kind}, as unshare --map-root-user ${option}`)
  }
}

/** A failure has an errno's name, and nearly always a system call and what helps. */
function wellFormed(t: Test, { checks }: Report) {
  for (const { group, name, ok, error } of checks) {
    t.ok([true, false, 'partly'].includes(ok), `${group}: ${name} is decided`)
    if (error !== undefined) {
      t.equal(ok, false)
      t.match(error.code, /^E[A-Z0-9_]+$/)
      t.notMatch(error.message, /undefined/)
    }
  }
  const names = checks.map(({ group, name }) => `${group}: ${name}`)
  t.equal(new Set(names).size, names.length, 'no check is there twice')
}

t.test('as root: what other programs can do, it can', needsRoot, async t => {
  const report = await doctor()
  t.same(JSON.parse(JSON.stringify(report)), report, 'plain data')
  wellFormed(t, report)
  compareNamespaces(t, report, [])
  t.equal(report.ok, true)
  t.equal(report.checks.at(-1)?.name, 'a default container')
  t.equal(report.facts.user.uid, 0)
  const running = existsSync('/run/systemd/system') ? 'systemd' : 'cgroupfs'
  t.equal(report.facts.cgroups.manager, running)
  t.equal(report.facts.kernel, spawnSync('uname', ['-r'], { encoding: 'utf8' }).stdout.trim())

  const isolated = ['unshare', '--net', '--mount', '--ipc', '--cgroup']
  for (const kind of ['veth', 'bridge', 'vxlan', 'dummy', 'wireguard']) {
    const data = kind === 'vxlan' ? ['id', '7', 'dstport', '0'] : []
    t.equal(
      find(report, 'network', kind).ok,
      manages(isolated, 'ip', 'link', 'add', 'x', 'type', kind, ...data),
      `${kind}, as ip link add`,
    )
  }
  for (const kind of ['macvlan', 'ipvlan', 'vlan']) {
    const data = kind === 'vlan' ? 'id 7' : ''
    const script = `ip link add p type veth && ip link add link p x type ${kind} ${data}`
    t.equal(find(report, 'network', kind).ok, manages(isolated, 'sh', '-c', script), kind)
  }
  for (const type of ['sysfs', 'mqueue', 'cgroup2', 'proc'])
    t.equal(
      find(report, 'mounts', type).ok,
      manages(isolated, 'mount', '-t', type, type, '/mnt'),
      `${type}, as mount -t`,
    )
  t.equal(
    find(report, 'filters', 'seccomp').detail,
    readFileSync('/proc/sys/kernel/seccomp/actions_avail', 'utf8').trim(),
  )
})

t.test('the security modules, as securityfs has them', needsRoot, async t => {
  const script = 'mount -t securityfs none /mnt && cat /mnt/lsm'
  const { stdout } = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' })
  t.same((await doctor()).facts.securityModules, stdout.trim().split(','))
})

t.test('where /proc is missing, or read-only', needsRoot, async t => {
  const without = 'mount -t tmpfs none /proc && exec "$@"'
  const missing = await reportOf('unshare', '--mount', 'sh', '-c', without, 'sh')
  t.match(find(missing, 'ids', 'own id as root'), { error: { code: 'ENOENT' }, remedy: /no proc/ })
  t.match(find(missing, 'cgroups', 'controllers'), { ok: false, remedy: /mount -t cgroup2/ })
  t.equal(find(missing, 'namespaces', 'uts').ok, true, 'what needs none is not concerned')
  wellFormed(t, missing)

  const readonly = 'mount -o remount,bind,ro /proc && exec "$@"'
  const report = await reportOf('unshare', '--mount', 'sh', '-c', readonly, 'sh')
  t.match(find(report, 'ids', 'own id as root'), {
    ok: false,
    error: { code: 'EROFS', syscall: 'openat', path: '/proc/self/setgroups' },
    remedy: /read-only/,
  })
})

t.test('as an ordinary user', needsRoot, async t => {
  const report = await reportOf(...ordinaryUser)
  wellFormed(t, report)
  compareNamespaces(t, report, ordinaryUser)
  t.equal(report.facts.user.uid, 1000)
  t.same(report.facts.capabilities, [])
  t.match(find(report, 'ids', 'a range, written directly'), { ok: false, error: { code: 'EPERM' } })
  t.equal(find(report, 'mounts', 'device files').ok, false, 'mknod needs real privileges')
  t.equal(find(report, 'cgroups', 'device rules, by BPF').ok, false)
  t.equal(find(report, 'capabilities', 'what a container gets').ok, false)
  const legacy = report.facts.cgroups.legacy.length > 0
  const group = legacy ? 'groups below one’s own, v1' : 'a group below one’s own, v2'
  t.match(find(report, 'cgroups', group), { ok: false, error: { syscall: 'mkdir' } })
  t.equal(report.exitCode, report.ok ? 0 : 1)
})

t.test('with subordinate ids, by newuidmap and newgidmap', needsRoot, async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'ids'), '1000:300000:65536\n')
  // In a mount namespace of its own, so that the machine's own files stay as they are.
  const script = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
  const given = ['unshare', '--mount', 'sh', '-c', script, join(folder, 'ids')]
  const expected = { ok: true, detail: '65536 from 300000' }
  const report = await reportOf(...given, ...ordinaryUser)
  t.match(find(report, 'ids', 'a range, by newuidmap'), expected)
  t.match(find(report, 'ids', 'a range, by newgidmap'), expected)

  const forbidden = await reportOf(...given, ...ordinaryUser, '--no-new-privs')
  t.match(find(forbidden, 'ids', 'a range, by newuidmap'), {
    ok: false,
    remedy: /no_new_privs/,
  })
  t.equal(forbidden.facts.noNewPrivileges, true)
})

t.test('without CAP_SYS_ADMIN: in a user namespace only', needsRoot, async t => {
  const report = await reportOf(...without('sys_admin'))
  compareNamespaces(t, report, without('sys_admin'))
  t.equal(find(report, 'namespaces', 'uts').ok, 'partly')
  t.equal(report.facts.capabilities?.includes('SYS_ADMIN'), false)
})

t.test('without one capability: what needs it fails', needsRoot, async t => {
  const cases: [string, string, string, Check['ok']][] = [
    ['mknod', 'mounts', 'device files', false],
    ['setpcap', 'capabilities', 'limit what can be gained', 'partly'],
    ['setuid', 'ids', 'a range, written directly', false],
    ['net_admin', 'network', 'veth', 'partly'],
    ['sys_chroot', 'capabilities', 'what a container gets', 'partly'],
  ]
  const all = await doctor()
  for (const [capability, group, name, expected] of cases) {
    t.equal(find(all, group, name).ok, true, `${name} with all of them`)
    const check = find(await reportOf(...without(capability)), group, name)
    t.equal(check.ok, expected, `${name} without ${capability}`)
  }
})

t.test('where user namespaces are used up', needsRoot, async t => {
  // The limit belongs to the user namespace, so the machine's own stays as it is.
  const limit = [
    'unshare',
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
    'sh',
  ]
  const report = await reportOf(...limit)
  t.match(find(report, 'namespaces', 'user'), {
    ok: false,
    error: { code: 'ENOSPC', syscall: 'unshare' },
    remedy: /sysctl/,
  })
  t.equal(find(report, 'namespaces', 'uts').ok, true, 'others are not concerned')
  t.ok(report.facts.inNamespaces.includes('user'))
  const uts = limit.map(word => word.replace('max_user', 'max_uts'))
  t.match(find(await reportOf(...uts), 'namespaces', 'uts'), {
    ok: false,
    error: { code: 'ENOSPC' },
  })
})

t.test('in a chroot, where the kernel permits no user namespaces', needsRoot, async t => {
  const root = scratch(t)
  const script = 'mount --rbind / "$0" && exec chroot "$0" "$@"'
  const report = await reportOf('unshare', '--mount', 'sh', '-c', script, root)
  t.match(find(report, 'namespaces', 'user'), {
    ok: false,
    error: { code: 'EPERM', syscall: 'unshare' },
    remedy: /chroot/,
  })
  t.equal(find(report, 'namespaces', 'uts').ok, true)
})

const needsMemfdSwitch = existsSync('/proc/sys/vm/memfd_noexec')
  ? needsRoot
  : { skip: 'this kernel has no vm.memfd_noexec, which came with Linux 6.3' }

t.test('where memfds may not be executed', needsMemfdSwitch, async t => {
  const forbid = 'echo 2 > /proc/sys/vm/memfd_noexec; exec "$@"'
  const command = ['unshare', '--pid', '--fork', '--mount-proc', 'sh', '-c', forbid, 'sh']
  const report = await reportOf(...command)
  t.match(find(report, 'processes', 'execute from memory'), {
    ok: 'partly',
    remedy: /memfd_noexec/,
  })
  t.equal(report.ok, true)
})

t.test('where no process may be started', needsRoot, async t => {
  const report = await reportOf(
    'unshare',
    '--user',
    '--map-root-user',
    '--pid',
    '--fork',
    'sh',
    '-c',
    'echo 0 > /proc/sys/user/max_pid_namespaces; exec "$@"',
    'sh',
  ) // prettier-ignore
  t.match(find(report, 'container', 'a default container'), {
    ok: false,
    error: { code: 'ENOSPC', syscall: 'clone3' },
    remedy: /\/proc\/sys\/user/,
  })
  t.equal(report.exitCode, 1)
})

t.test('in a container: what its maker has taken away', needsRoot, async t => {
  const node = bind(fileURLToPath(new URL('../../..', import.meta.url)), '/mnt', { readonly: true })
  const argv = [process.execPath, '/mnt/out/examples/doctor.js', '--json']
  const inside = async (builder = overHost()) => {
    const { stdout, stderr } = await run(builder.mount(node), argv)
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as Report
  }
  const report = await inside()
  t.ok(report.facts.inNamespaces.includes('pid'))
  t.not(report.facts.container, null)
  t.equal(report.facts.noNewPrivileges, true)
  t.equal(report.facts.capabilities?.length, 14)
  t.equal(find(report, 'namespaces', 'uts').ok, 'partly', 'not directly')
  t.equal(find(report, 'mounts', 'proc').ok, false, 'the outer proc has masks')
  t.equal(find(report, 'cgroups', 'device rules, by BPF').ok, false)
  t.equal(find(report, 'network', 'veth').ok, 'partly')

  const privileged = overHost()
    .capabilities(['SYS_ADMIN', 'SETPCAP'])
    .maskedPaths([])
    .readonlyPaths([])
  t.equal(find(await inside(privileged), 'namespaces', 'uts').ok, true)
})

t.test('nothing is changed', needsRoot, async t => {
  const groups = () =>
    spawnSync('find', ['/sys/fs/cgroup', '-name', 'cofferdam-doctor-*'], { encoding: 'utf8' })
      .stdout
  const before = { groups: groups(), temporary: readdirSync('/tmp').filter(isOurs) }
  await Promise.all([doctor(), doctor()])
  await reportOf(...ordinaryUser)
  t.same({ groups: groups(), temporary: readdirSync('/tmp').filter(isOurs) }, before)
})

const isOurs = (name: string) => name.startsWith('cofferdam-doctor')

t.test('nothing is left behind', needsRoot, nothingLeft)
