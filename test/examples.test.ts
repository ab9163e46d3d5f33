import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cgroups } from 'cofferdam'
import t from 'tap'
import { needsController, parentGroup, script } from './support/cgroups.js'
import { needsContainers, needsRoot, until } from './support/index.js'
import { mountNamespace } from './support/mount-namespace.js'
import { inNetns, netns } from './support/netns.js'

const fileOf = (name: string) => fileURLToPath(new URL(`../examples/${name}.js`, import.meta.url))

/** Runs an example; gives what it printed. */
function example(name: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) =>
    execFile(process.execPath, [fileOf(name), ...args], (error, stdout, stderr) =>
      error ? reject(Object.assign(new Error(stderr), { stdout })) : resolve(stdout),
    ).stdin?.end(),
  )
}

t.test('hello: the tour, the plan, a program', needsContainers, async t => {
  const tour = await example('hello')
  for (const line of [
    /^host name +hello/m,
    /pid 1 of \d/,
    /14 (of root's|in it)/,
    /still here/,
    /start to exit/,
  ])
    t.match(tour, line)
  t.match(await example('hello', 'explain'), /pivot_root/)
  t.equal(await example('shell', 'sh', '-c', 'hostname; echo $$'), 'hello\n1\n')
})

// It has users that an ordinary user's has only with subordinate ids.
t.test('exec: programs that join a running one', needsRoot, async t => {
  const printed = await example('exec')
  t.match(printed, /^server: open, as pid 1$/m)
  t.match(printed, /^server: daemon from house was visit 2$/m)
  t.match(printed, /asked to end\nended with { exitCode: 0, signal: null }/)
})

t.test('capabilities: what stops working without each', needsRoot, async t => {
  const printed = await example('capabilities')
  for (const name of ['CHOWN', 'DAC_OVERRIDE', 'KILL', 'NET_BIND_SERVICE', 'SYS_ADMIN', 'SYS_NICE'])
    t.match(printed, new RegExp(`^  ${name} .* works, then: (?!still works)`, 'm'))
  t.match(printed, /^ {2}without CHOWN +10 of 11 still work$/m)
  t.match(printed, /^ {2}without SYS_NICE +0 of 11 still work$/m)
  t.match(printed, /^ {2}ambient as well +cap_net_bind_service=eip$/m)
  t.match(printed, /computed: cap_chown,cap_net_raw=ep\n +found: +cap_chown,cap_net_raw=ep$/m)
  t.match(printed, /computed: =\n +found: +=$/m)
})

t.test('hierarchies: the rules between tasks, hierarchies and subsystems', needsRoot, async t => {
  const printed = await example('hierarchies')
  t.match(printed, /^ {2}cofferdam-jobs-\d+: mounted$/m)
  t.match(printed, /net_cls,net_prio: (mounted|refused)/)
  t.notMatch(printed, /made in one, seen in the other: false/)
  t.notMatch(printed, /without the other subsystem: (?!refused, EBUSY)/)
  t.match(printed, /:\/day\n.*:\/night; left in \/day: 0$/m)
  t.match(printed, /child .*:\/night\n +child .*:\/day\n +parent .*:\/night$/m)
  t.match(printed, /the hierarchy is gone: true$/m)
  t.match(printed, /for one below: refused, EBUSY$/m)
  t.match(
    printed,
    /in another group: refused, EOPNOTSUPP\n +in a group of threads: 1, beside the others$/m,
  )
})

t.test('service: started, asked and stopped by programs of their own', needsContainers, async t => {
  const printed = await example('service')
  t.match(printed, /^started, as pid \d+; this program ends$/m)
  t.match(printed, /^example-service {2}running/m)
  t.match(printed, /^its errors so far: service: ready, as pid 1 of example-service$/m)
  t.match(printed, /^asked, in example-service$/m)
  t.match(printed, /^Ada was visit 1\n(Grace was visit 2\n)?/m)
  t.match(printed, /^ended with { exitCode: 0, signal: null } at 2/m)
})

t.test('rootless: what an ordinary user’s are outside', needsContainers, async t => {
  const printed = await example('rootless')
  t.match(printed, /^inside: {2}uid=0\(root\)/)
  t.match(printed, process.getuid?.() === 0 ? /^outside: 100000$/m : /^outside: [1-9]\d*$/m)
  t.match(printed, /^beside: {2}second 1$/m)
})

t.test('process: what it has, from inside and outside', needsContainers, async t => {
  const printed = await example('process')
  const [inside = '', outside = ''] = printed.split('from outside')
  for (const line of [
    /^ {2}open files +100$/m,
    /^ {2}nice value +5$/m,
    /^ {2}policy +SCHED_BATCH$/m,
    /^ {2}I\/O priority +idle$/m,
    /^ {2}processors +1$/m,
    /^ {2}OOM score adjust +500$/m,
    /^ {2}domain name +example.test$/m,
    /^ {2}longest message +65536$/m,
    /^ {2}lowest free port +80$/m,
  ])
    t.match(inside, line)
  t.match(outside, /^ {2}open files +100\n {2}nice value +5\n {2}policy +batch$/m)
  t.match(outside, /^refused: sysctls.vm.swappiness/m)
})

t.test('first-process: signals, orphans, and its end', needsContainers, async t => {
  const [alone = '', below = ''] = (await example('first-process')).split('the same below')
  t.match(alone, /^ {2}after SIGTERM: running/m)
  t.match(alone, /nobody waits for: \d+ 1 Z/)
  t.match(alone, /^ {2}another one, .* with SIGKILL$/m)
  t.match(below, /^ {2}sleep\(1\) is now process 2\n {2}zombies: 0\n.* exit code 143/m)
})

t.test('keys: found by who has the keyring', needsContainers, async t => {
  const printed = await example('keys')
  t.match(printed, /^with the keyring by name: +the cat is hungry$/m)
  t.match(printed, /^with one of its own: .*not available$/m)
  t.match(printed, /^by its number: .*Permission denied$/m)
  t.match(printed, /^from another container: .*not available$/m)
  t.match(printed, /^by its number, from there: .*Permission denied$/m)
  t.match(printed, /^root's own: +root of the house$/m)
  t.match(printed, /^root's own, next door: .*not available$/m)
})

t.test('namespaces: made, joined, left and looked at, each kind', needsContainers, async t => {
  const printed = await example('namespaces')
  const rows = printed.split('\n').map(line => line.trim().split(/ {2,}/))
  const cells = (kind: string) => rows.find(([name]) => name === kind)?.slice(1) ?? []
  for (const kind of ['uts', 'network', 'mount', 'ipc', 'user', 'cgroup', 'time']) {
    const [here, inside, joined] = cells(kind)
    t.not(here, inside, kind)
    t.equal(joined, inside, kind)
  }
  t.match(cells('pid'), [/^process \d{2,}$/, 'process 1', /^process \d$/])
  t.match(printed, /^ {2}host name: +after\n {2}and still here: +(?!after)\S+$/m)
  t.match(printed, /itself process \d{2,}, its child process 1$/m)
  t.match(printed, /\/ns\/uts is uts:\[(\d+)\], here (?!\1$)\d+$/m)
  t.match(printed, /\/ns\/mnt is mnt:\[\d+\], the same as here$/m)
  t.match(printed, /ended, and it is still there:\n {2}1 interface in it\n.*alone: true\n$/)
})

t.test('ipc: queues are seen by whoever is in the namespace', needsContainers, async t => {
  const lines = (await example('ipc')).trim().split('\n')
  const seen = Object.fromEntries(lines.map(line => line.split(/: +/, 2) as [string, string]))
  const rest = (name: string) =>
    lines
      .find(line => line.startsWith(name))
      ?.slice(22)
      .trim()
  t.match(rest('where they were made'), /^1 System V, POSIX: orders$/)
  t.match(rest('in another namespace'), /^0 System V, POSIX:$/)
  t.match(rest('in one that joins'), /^1 System V, POSIX: orders$/)
  t.match(rest('with other mounts'), /^1 System V, POSIX: orders$/)
  t.equal(seen['here, meanwhile'], seen['here, before'])
  t.equal(seen['here, after the end'], seen['here, before'])
})

t.test('propagation: who hears of what', needsRoot, async t => {
  const printed = await example('propagation')
  t.match(
    printed,
    /^mounted below the original.*\n.*shared +copy +yes\n.*slave +copy +yes\n.*private +copy +no$/m,
  )
  t.match(
    printed,
    /^mounted below a copy.*\n.*shared +copy +yes\n.*slave +copy +no\n.*private +copy +no$/m,
  )
  t.match(printed, /^ {2}open_tree: EINVAL$/m)
  t.match(printed, /^ {2}\/mnt\/slave +slave of group \d+$/m)
  t.match(printed, /^ {2}\/mnt\/alone +unbindable$/m)
})

t.test('root: one built from nothing', needsRoot, async t => {
  const printed = await example('root')
  t.match(printed, /^me in \/home\/me, on tmpfs$/m)
  t.match(printed, /^ {2}drwx------ me yes '\/home\/me'$/m)
  t.match(printed, /^ {2}lrwxrwxrwx root no '\/bin' -> 'usr\/bin'$/m)
  t.match(printed, /secret: Permission denied\nas it was made\nended with/)
})

t.test('doctor: a table, and JSON', async t => {
  const root = process.getuid?.() === 0
  if (root) {
    const printed = await example('doctor')
    t.match(printed, /^Linux \d/m)
    t.match(printed, /^namespaces\n {2}✓ user/m)
    t.match(printed, /✓ a default container\n$/)
    t.notMatch(printed, /\x1b/, 'no colours where nobody sees them')
  }
  // Whether a container works here or not, it says what does.
  const printed = await example('doctor', '--json').catch(error => error.stdout)
  const { ok, checks } = JSON.parse(printed)
  t.equal(ok, checks.at(-1).ok)
})

t.test('mounts: the tree of findmnt, JSON, and changes as they happen', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir a; mount -t tmpfs outer a; mkdir a/b; mount -t tmpfs inner a/b')
  const printed = await example('mounts', `${pid}`)
  const targets = printed
    .split('\n')
    .slice(1, -1)
    .map(line => /^[│├└─ ]*\/\S*/.exec(line)?.[0])
  const found = execFileSync('findmnt', ['--task', `${pid}`, '-n', '-o', 'TARGET'], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  t.strictSame(
    targets,
    found
      .trimEnd()
      .split('\n')
      .map(line => line.trimEnd()),
  )
  const [root] = JSON.parse(await example('mounts', `${pid}`, '--json'))
  t.equal(root.mount.mountPoint, '/')

  const live = spawn(process.execPath, [fileOf('mounts'), `${pid}`, '--watch'])
  let shown = ''
  live.stdout.on('data', chunk => {
    shown += chunk
  })
  t.ok(await until(() => shown.includes('inner')))
  await sh('mount --make-shared a; mount -o remount,bind,ro a; umount a/b')
  t.ok(await until(() => /^changed/m.test(shown) && /^unmounted.*\n/m.test(shown)))
  t.match(shown, `changed ${folder}/a (tmpfs outer) ro,relatime shared:`)
  t.match(shown, `unmounted ${folder}/a/b (tmpfs inner)\n`)
  live.kill('SIGINT')
  t.strictSame(await once(live, 'close'), [0, null])
})

t.test('memory-hog: killed and reported', needsController('memory'), async t => {
  const printed = await example('memory-hog')
  t.match(printed, /^a shell is content$/m)
  t.match(printed, /^the kernel says: 1 killed, 1 in all$/m)
  t.match(printed, /^tail .*: ended by SIGKILL$/m)
  t.match(printed, /^most there was: 6[34] MiB$/m)
  t.match(printed, /^with 128 MiB: 12[78] MiB$/m)
  t.match(printed, /left alone: exit code 0$/m)
})

t.test('cpu-hog: held at half a processor', needsController('cpu'), async t => {
  const printed = await example('cpu-hog')
  const processors = (what: string) =>
    Number(new RegExp(`^${what} +(\\d\\.\\d\\d) processors$`, 'm').exec(printed)?.[1])
  const held = processors('cpus: 0\\.5')
  t.ok(held > 0.4 && held <= 0.55, `${held}`)
  t.match(printed, /^held back in [1-9]\d* periods of \d+$/m)
  t.ok(processors('weight: 300') > 1.5 * processors('weight: 100'), printed)
})

t.test('devices: of the same rules on either version', needsController(), async t => {
  t.equal(
    await example('devices'),
    `with the rules of any container's
  4
  the log of the kernel is not for it
reading /dev/zero: false
  0
  the log of the kernel is not for it
`,
  )
})

t.test('fork-bomb: stopped, and killed whole', needsController('pids'), async t => {
  const printed = await example('fork-bomb')
  t.match(printed, /^at most (2\d|30) processes of 30; one more was refused over 100 times$/m)
  t.match(printed, /^others are not disturbed$/m)
  t.match(printed, /^killed whole, and the group is gone$/m)
})

t.test('top: what groups use', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await cgroups.Cgroup.create(`${parent.path}/busy`)
  await cgroups.Cgroup.create(`${parent.path}/idle`)
  t.match(await example('top', `${group.path}`), `nothing runs below ${group.path}`)
  const busy = await script(t, 'read go; while :; do :; done')
  await group.add(busy.pid)
  busy.stdin?.write('\n')
  const lines = JSON.parse(await example('top', parent.path, '--once', '--json'))
  t.match(lines, [
    { group: group.path, cpus: Number, memoryLimit: Number },
    { group: `${parent.path}/idle`, cpus: 0, read: 0, written: 0 },
  ])
  t.ok(lines[0].cpus > 0.1 && lines[0].cpus < 1.1, `${lines[0].cpus} processors`)
  const table = await example('top', parent.path)
  t.match(table, new RegExp(`^${group.path} .*[█▏▎▍▌▋▊▉].* \\d+%`, 'm'))
  t.match(table, /^GROUP +CPU +MEMORY +TASKS/m)

  // Live, in a terminal: drawn again and again, until q is typed.
  const command = `stty cols 150 rows 40; ${process.execPath} ${fileOf('top')} ${parent.path} --interval 100ms`
  const live = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let shown = ''
  live.stdout.on('data', text => {
    shown += text
  })
  const exit = once(live, 'exit')
  // A terminal is told what is one drawing: nothing flickers.
  const drawn = () => shown.split('\x1b[?2026h').length - 1
  t.ok(await until(() => drawn() > 3, 2000), 'it is drawn again')
  live.stdin.write('q')
  t.same(await exit, [0, null])
  t.match(shown, /\x1b\[\?25h/, 'and the cursor is shown again')
})

t.test('firewall: what it lets through', needsRoot, async t => {
  const printed = await example('firewall')
  for (const line of [
    /^port 22 +refused$/m,
    /^port 80 +let through$/m,
    /^port 443 +let through$/m,
    /^port 5432 +let through$/m,
    /^port 6379 +dropped$/m,
    /^counted for the web: [1-9]/m,
  ])
    t.match(printed, line)
})

t.test('shaped-link: as fast as was asked, each way', needsRoot, async t => {
  const printed = await example('shaped-link', '16mbit', '4mbit')
  const rates = (title: string) =>
    new RegExp(`^${title} +up (\\S+) Mbit/s, down (\\S+) Mbit/s$`, 'm')
      .exec(printed)
      ?.slice(1)
      .map(Number) ?? []
  const [up = 0, down = 0] = rates('shaped')
  t.ok(up > 8 && up < 20, `${up} is near 16`)
  t.ok(down > 2 && down < 5.5, `${down} is near 4`)
  for (const rate of rates('free')) t.ok(rate > 2 * up, `${rate} is much more`)
  t.equal(rates('free').length, 2)
})

t.test('ip-addr: what ip prints', needsRoot, async t => {
  const ns = await netns(t)
  const script =
    'ip link add v0 type veth peer name v1; ip link set v0 up; ip address add 10.9.0.1/24 dev v0; ip address add fd00::9/64 dev v0 nodad'
  await inNetns(ns, 'sh', '-c', script)
  const columns = (text: string) =>
    text
      .trim()
      .split('\n')
      .map(line => line.trim().split(/\s+/))
  const ours = await example('ip-addr', ns.path)
  const theirs = await inNetns(ns, 'ip', '-br', 'address')
  t.same(columns(ours), columns(theirs))
})
