import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Container, mounts } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  shell,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('/dev is as Docker lays it out', needsContainers, async t => {
  const listing = await shell(overHost(), 'cd /dev; stat -c "%n %F %a %t:%T" *')
  t.equal(
    listing,
    [
      'core symbolic link 777 0:0',
      'fd symbolic link 777 0:0',
      'full character special file 666 1:7',
      'mqueue directory 1777 0:0',
      'null character special file 666 1:3',
      'ptmx symbolic link 777 0:0',
      'pts directory 755 0:0',
      'random character special file 666 1:8',
      'shm directory 1777 0:0',
      'stderr symbolic link 777 0:0',
      'stdin symbolic link 777 0:0',
      'stdout symbolic link 777 0:0',
      'tty character special file 666 5:0',
      'urandom character special file 666 1:9',
      'zero character special file 666 1:5',
    ].join('\n'),
  )
})

t.test('the devices work', needsContainers, async t => {
  const script = `
    echo gone > /dev/null && head -c 4 /dev/zero | od -An -tx1 && head -c 8 /dev/urandom | wc -c
    echo x 2> /dev/null > /dev/full || echo full
    echo shared > /dev/shm/x && cat /dev/shm/x
    echo via stdout > /dev/stdout`
  t.equal(await shell(overHost(), script), '00 00 00 00\n8\nfull\nshared\nvia stdout')
})

t.test('pseudo-terminals are its own', needsContainers, async t => {
  t.match(await shell(overHost(), 'script -qc "tty" /dev/null'), '/dev/pts/0')
})

t.test('message queues are those of its IPC namespace', needsContainers, async t => {
  t.equal(await shell(overHost(), 'ls /dev/mqueue | wc -l; stat -f -c %T /dev/mqueue'), '0\nmqueue')
})

t.test('file systems have the options of the OCI’s default', needsRoot, async t => {
  const lines = await shell(overHost(), 'cut -d" " -f5,6,8- /proc/self/mountinfo')
  for (const line of [
    '/proc rw,nosuid,nodev,noexec,relatime proc proc rw',
    '/sys ro,nosuid,nodev,noexec,relatime sysfs sysfs rw',
    '/dev rw,nosuid,nodev tmpfs tmpfs rw,size=64k,mode=755',
    '/dev/pts rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666',
    '/dev/shm rw,nosuid,nodev,noexec,relatime tmpfs tmpfs rw,size=65536k',
    '/dev/mqueue rw,nosuid,nodev,noexec,relatime mqueue mqueue rw',
  ])
    t.ok(
      lines.split('\n').some(mount => mount.startsWith(line)),
      line,
    )
})

/** How many bytes or entries each of these paths shows, where it exists. */
const look = (paths: readonly string[]) =>
  paths
    .map(
      path =>
        `if [ -d ${path} ]; then ls -A ${path} | wc -l; elif [ -e ${path} ]; then head -c 9 ${path} | wc -c; fi`,
    )
    .join('\n')

t.test('masked paths are empty', needsContainers, async t => {
  const there = mounts.defaultMaskedPaths.filter(path => existsSync(path))
  t.ok(there.length > 2, 'this kernel has some of them')
  const shown = (await shell(overHost(), look(there))).split('\n')
  t.same(
    shown,
    there.map(() => '0'),
  )
})

t.test('masked paths can be one’s own, or none', needsRoot, async t => {
  const masked = overHost().maskedPaths(['/etc/passwd', '/usr/share', '/does/not/exist'])
  const script = look(['/etc/passwd', '/usr/share', '/proc/timer_list'])
  t.equal(await shell(masked, script), '0\n0\n9', 'the default ones are open then')
})

t.test('read-only paths can be read and not written', needsRoot, async t => {
  const script = 'cat /proc/sys/kernel/hostname; echo x > /proc/sys/kernel/hostname'
  const { stdout, stderr } = await run(overHost().hostname('ro'), ['sh', '-c', script])
  t.equal(stdout, 'ro\n')
  t.match(stderr, /Read-only file system/)
  t.equal(
    await shell(
      overHost().readonlyPaths([]).capabilities(['SYS_ADMIN']),
      'echo changed > /proc/sys/kernel/hostname; hostname',
    ),
    'changed',
  )
})

t.test('a masked directory can not be written to', needsContainers, async t => {
  const { stderr } = await run(overHost(), ['touch', '/proc/acpi/x'])
  t.match(stderr, /Read-only file system|No such file/)
})

t.test('capabilities are Docker’s default', needsContainers, async t => {
  const status = await shell(overHost(), 'grep ^Cap /proc/self/status')
  const bits = '00000000a80425fb'
  t.equal(
    status.replaceAll('\t', ' '),
    `CapInh: 0000000000000000\nCapPrm: ${bits}\nCapEff: ${bits}\nCapBnd: ${bits}\nCapAmb: 0000000000000000`,
  )
  const decoded = execFileSync('capsh', [`--decode=${bits}`], { encoding: 'utf8' })
  t.match(
    decoded,
    'cap_chown,cap_dac_override,cap_fowner,cap_fsetid,cap_kill,cap_setgid,cap_setuid,cap_setpcap,cap_net_bind_service,cap_net_raw,cap_sys_chroot,cap_mknod,cap_audit_write,cap_setfcap',
  )
})

t.test('no program gains privileges', needsContainers, async t => {
  t.equal(await shell(overHost(), 'grep NoNewPrivs /proc/self/status | cut -f2'), '1')
  t.equal(
    await shell(overHost().noNewPrivileges(false), 'grep NoNewPrivs /proc/self/status | cut -f2'),
    '0',
  )
})

t.test('a bare root directory is enough', needsContainers, async t => {
  const builder = new Container().rootfs(makeRoot(t)).mount(hostPrograms)
  t.equal(
    await shell(builder, 'ls / | tr "\\n" " "'),
    'bin dev etc lib lib64 proc sbin sys tmp usr',
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
