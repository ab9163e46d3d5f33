import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { Container } from 'cofferdam'
import { sysctlPath } from 'cofferdam/process'
import fc from 'fast-check'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  scratch,
  shell,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]

/** Of the host's own namespaces. */
const ours = (path: string) => readFileSync(`/proc/sys/${path}`, 'utf8').trim()

/** As a process sees it that the host sends into the container's namespaces. */
function from(pid: number, path: string, ...namespaces: string[]): string {
  const args = ['--target', `${pid}`, ...namespaces, 'cat', `/proc/sys/${path}`]
  return execFileSync('nsenter', args, { encoding: 'utf8' }).trim()
}

const wanted = {
  'net.ipv4.ip_forward': 1,
  'net/ipv4/ip_unprivileged_port_start': '81',
  'net.ipv4.conf.lo.forwarding': 1,
  'net.ipv4.ip_local_reserved_ports': '',
  'net.ipv4.ping_group_range': '0 0',
  'kernel.msgmax': 9001,
  'kernel.sem': '250 32000 100 129',
  'kernel.shmmax': '1234567',
  'kernel/shm_rmid_forced': 1,
  'fs.mqueue.msg_max': 12,
}
const paths = Object.keys(wanted).map(name => sysctlPath('x', name))
const expected = ['1', '81', '1', '', '0\t0', '9001', '250\t32000\t100\t129', '1234567', '1', '12']
const list = `for name in ${paths.join(' ')}; do cat /proc/sys/$name; done`

t.test('kernel parameters of its own namespaces, and of no others', needsRoot, async t => {
  const before = paths.map(ours)
  await using box = await overHost().sysctls(wanted).create()
  const main = await box.start(['sh', '-c', `${list}; touch /proc/sys/kernel/msgmax; cat`])
  const lines: string[] = []
  for await (const line of main.stdout.lines()) if (lines.push(line) === expected.length) break
  t.same(lines, expected, 'from inside')
  t.same(
    paths.map(path => from(main.pid, path, '--net', '--ipc')),
    expected,
    'from outside',
  )
  t.same(paths.map(ours), before, 'ours are as they were')
  t.not(ours('net/ipv4/ip_unprivileged_port_start'), '81')
  await box.delete()
  t.match(await main.stderr.text(), /Read-only file system/, 'it can change none itself')
})

t.test('in a user namespace, and for an ordinary user', needsContainers, async t => {
  const builder = overHost().sysctls(wanted).sysctls({ 'user.max_net_namespaces': 3 })
  if (process.getuid?.() === 0) builder.idMappings({ uid: ids, gid: ids })
  const script = `${list}; cat /proc/sys/user/max_net_namespaces`
  t.same(await shell(builder, script), [...expected, '3'].join('\n'))
  t.not(ours('user/max_net_namespaces'), '3')
})

t.test('without a root of its own', needsRoot, async t => {
  const builder = new Container().isolate('network', 'ipc').sysctls(wanted)
  t.same(await shell(builder, list), expected.join('\n'))
  // By a proc of which all is read-only there is no way.
  const bound = overHost().proc('bind').sysctls({ 'net.ipv4.ip_forward': 1 })
  t.equal(await shell(bound, 'cat /proc/sys/net/ipv4/ip_forward'), '1')
})

t.test('in a joined namespace that is not this program’s', needsRoot, async t => {
  await using first = await overHost().create()
  await first.start(['sleep', '60'], { stdio: 'ignore' })
  const network = `/proc/${first.pid}/ns/net`
  const joins = (path: string) =>
    overHost().isolate('mount', 'pid', { network: path }).sysctls({ 'net.ipv4.ip_forward': 1 })
  await run(joins(network), ['true'])
  t.equal(from(first.pid as number, 'net/ipv4/ip_forward', '--net'), '1')
  await t.rejects(joins(`/proc/${process.pid}/ns/net`).create(), {
    code: 'ERR_CONFLICT',
    option: 'sysctls.net.ipv4.ip_forward',
  })
})

t.test('a mount namespace that is joined can not lead it elsewhere', needsRoot, async t => {
  const hostile = await new Container()
    .isolate('mount')
    .capabilities(['SYS_ADMIN', 'DAC_OVERRIDE'])
    .create()
  const lie = `mount -t tmpfs none /proc && mkdir -p /proc/sys/net/ipv4 &&
    echo nothing > /proc/sys/net/ipv4/ip_forward && echo ready && exec cat`
  const main = await hostile.start(['sh', '-c', lie])
  for await (const line of main.stdout.lines()) if (line === 'ready') break
  await using box = await new Container()
    .isolate('network', { mount: `/proc/${main.pid}/ns/mnt` })
    .sysctls({ 'net.ipv4.ip_forward': 1 })
    .create()
  const joined = await box.start(['sh', '-c', 'cat /proc/sys/net/ipv4/ip_forward; exec cat'])
  for await (const line of joined.stdout.lines()) {
    t.equal(line, 'nothing', 'the lie is in sight')
    break
  }
  t.equal(from(joined.pid, 'net/ipv4/ip_forward', '--net'), '1', 'and was not believed')
  await hostile.delete()
})

t.test('what a hook brings has parameters too', needsRoot, async t => {
  const veth = ['link', 'add', 'cfd-a', 'type', 'veth', 'peer', 'name', 'cfd.b']
  const builder = overHost()
    .sysctls({ 'net.ipv4.conf.cfd/b.forwarding': 1 })
    .hooks({
      createRuntime: (_, context) => {
        execFileSync('nsenter', [`--net=${context.namespace('network')}`, 'ip', ...veth])
      },
    })
  try {
    t.equal(await shell(builder, 'cat /proc/sys/net/ipv4/conf/cfd.b/forwarding'), '1')
  } catch (error) {
    if (!/Unknown device type|not supported/.test(`${error}`)) throw error
    t.comment('this kernel has no veth links')
  }
})

t.test('domain name', needsContainers, async t => {
  const before = ours('kernel/domainname')
  const named = overHost().domainname('example.test')
  t.equal(await shell(named, 'cat /proc/sys/kernel/domainname'), 'example.test')
  const asSysctl = overHost().sysctls({ 'kernel.domainname': 'other.test' })
  if (process.getuid?.() === 0) asSysctl.idMappings({ uid: ids, gid: ids })
  t.equal(await shell(asSysctl, 'domainname'), 'other.test')
  if (process.getuid?.() === 0) {
    await using box = await named.create()
    t.equal(from(box.pid as number, 'kernel/domainname', '--uts'), 'example.test')
  }
  t.equal(ours('kernel/domainname'), before)
})

t.test('one that outlives its maker', needsContainers, async t => {
  const stateFolder = scratch(t)
  await using box = await overHost()
    .domainname('kept.test')
    .sysctls(wanted)
    .create({ lifetime: 'detached', stateFolder })
  const main = await box.start(['sh', '-c', `${list}; cat /proc/sys/kernel/domainname`])
  t.equal(await main.stdout.text(), [...expected, 'kept.test', ''].join('\n'))
})

t.test('what can not be', needsContainers, async t => {
  const refuse = async (
    builder: () => Container,
    option: string,
    code = 'ERR_INVALID_OPTION',
    more: object = {},
  ) => t.rejects(async () => builder().create(), { name: 'CofferdamError', code, option, ...more })
  for (const name of [
    'vm.swappiness',
    'kernel.panic',
    'kernel.hostname',
    'kernel.core_pattern',
    'fs.file-max',
    'net',
    '',
    'net..x',
    'net/../kernel/panic',
    'net.ipv4//../../vm/swappiness',
    './net/ipv4',
    'net/ipv4\n/x',
    '/net/ipv4/ip_forward',
  ])
    await refuse(() => overHost().sysctls({ [name]: 1 }), `sysctls.${name}`)
  await refuse(
    () => overHost().sysctls({ 'kernel.msgmax': 1, 'kernel/msgmax': 1 }),
    'sysctls.kernel/msgmax',
  )
  for (const value of [1.5, null, {}, 'x'.repeat(4096), 'a\0', '1\n2'])
    await refuse(
      () => overHost().sysctls({ 'kernel.msgmax': value as never }),
      'sysctls.kernel.msgmax',
    )
  await refuse(
    () => overHost().sysctls({ 'kernel.domainname': 'a'.repeat(65) }),
    'sysctls.kernel.domainname',
  )
  const forward = { 'net.ipv4.ip_forward': 1 }
  await refuse(
    () => overHost().isolate('mount', 'pid').sysctls(forward),
    'sysctls.net.ipv4.ip_forward',
    'ERR_CONFLICT',
  )
  await refuse(
    () => overHost().isolate('mount', 'network').sysctls({ 'kernel.sem': '1 1 1 1' }),
    'sysctls.kernel.sem',
    'ERR_CONFLICT',
  )
  await refuse(
    () => overHost().domainname('a').sysctls({ 'kernel.domainname': 'b' }),
    'sysctls.kernel.domainname',
    'ERR_CONFLICT',
  )
  await refuse(() => overHost().isolate('mount').domainname('a'), 'domainname', 'ERR_CONFLICT')
  await refuse(() => overHost().domainname('a'.repeat(65)), 'domainname')
  await refuse(() => overHost().domainname(''), 'domainname')
  if (process.getuid?.() === 0)
    await refuse(
      () => overHost().sysctls({ 'user.max_net_namespaces': 1 }),
      'sysctls.user.max_net_namespaces',
      'ERR_CONFLICT',
    )
  await t.rejects(overHost().sysctls({ 'net.ipv4.no_such': 1 }).create(), {
    code: 'ENOENT',
    step: 'sysctl net.ipv4.no_such',
    path: '/proc/sys/net/ipv4/no_such',
    hint: /this kernel has none/,
  })
  await t.rejects(overHost().sysctls({ 'net.ipv4.ip_forward': 'yes' }).create(), {
    code: 'EINVAL',
    syscall: 'write',
    path: '/proc/sys/net/ipv4/ip_forward',
    hint: /this value/,
  })
})

t.test('names are what sysctl(8) takes them for', async t => {
  const names = execFileSync('sysctl', ['--all', '--names'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const known = names.trim().split('\n')
  t.ok(known.length > 500)
  const missing = known.filter(name => !existsSync(`/proc/sys/${sysctlPath('x', name)}`))
  t.same(missing, [])
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '.', '/', '..', ' ', '\n', 'é') }), name => {
      try {
        const path = sysctlPath('x', name)
        return !path.split('/').some(part => ['', '.', '..'].includes(part))
      } catch (error) {
        return (error as { code: string }).code === 'ERR_INVALID_OPTION'
      }
    }),
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
