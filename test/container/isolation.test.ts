import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { namespaces } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, overHost, rememberTraces, shell } from '../support/index.js'

const nothingLeft = await rememberTraces()
const all = ['mount', 'pid', 'uts', 'ipc', 'network', 'cgroup'] as const

/** Which of its namespaces a container does not share with this process. */
async function own(builder: ReturnType<typeof overHost>): Promise<string[]> {
  await using box = await builder.create()
  return all.filter(
    kind =>
      readlinkSync(namespaces.pathOf(kind, box.pid as number)) !==
      readlinkSync(namespaces.pathOf(kind, process.pid)),
  )
}

t.test('by default all six are new', needsContainers, async t => {
  t.same(await own(overHost()), all)
})

for (const kind of ['pid', 'uts', 'ipc', 'network', 'cgroup'] as const)
  t.test(`${kind} alone, besides mount`, needsRoot, async t => {
    t.same((await own(overHost().isolate('mount', kind))).sort(), ['mount', kind].sort())
  })

t.test('an existing namespace is joined', needsRoot, async t => {
  await using other = await overHost().hostname('other').create()
  const pid = other.pid as number
  await using box = await overHost()
    .isolate('mount', 'pid', {
      network: namespaces.pathOf('network', pid),
      uts: namespaces.pathOf('uts', pid),
      ipc: namespaces.pathOf('ipc', pid),
      cgroup: namespaces.pathOf('cgroup', pid),
    })
    .create()
  for (const kind of ['network', 'uts', 'ipc', 'cgroup'] as const)
    t.equal(
      readlinkSync(namespaces.pathOf(kind, box.pid as number)),
      readlinkSync(namespaces.pathOf(kind, pid)),
      kind,
    )
  const main = await box.start(['hostname'])
  t.equal(await main.stdout.text(), 'other\n')
})

t.test('PID: it is process 1, and /proc shows its own processes only', needsContainers, async t => {
  t.equal(await shell(overHost(), 'echo $$'), '1')
  t.match(await shell(overHost(), 'ls -d /proc/[0-9]* | tr "\\n" " "'), /^\/proc\/1 \/proc\/\d+/)
  t.match(
    await shell(
      overHost(),
      'cat /proc/1/cmdline | tr "\\0" " "; kill -0 $(cat /etc/hostname >/dev/null; echo 2>/dev/null 12345) 2>&1 || echo none',
    ),
    'none',
  )
})

t.test('UTS: a host name of its own', needsContainers, async t => {
  const before = hostname()
  t.equal(await shell(overHost().hostname('inner'), 'hostname; echo $HOSTNAME'), 'inner\ninner')
  t.equal(hostname(), before)
})

t.test('IPC: System V objects of others are not seen', needsRoot, async t => {
  const id = execFileSync('ipcmk', ['-Q'], { encoding: 'utf8' }).match(/\d+/)?.[0] as string
  try {
    t.match(readFileSync('/proc/sysvipc/msg', 'utf8'), new RegExp(`\\b${id}\\b`))
    t.equal(await shell(overHost(), 'tail -n +2 /proc/sysvipc/msg | wc -l'), '0')
    t.not(
      await shell(overHost().isolate('mount', 'pid'), 'tail -n +2 /proc/sysvipc/msg | wc -l'),
      '0',
    )
  } finally {
    execFileSync('ipcrm', ['-q', id])
  }
})

t.test('network: nothing but a loopback device, which is up', needsContainers, async t => {
  t.equal(await shell(overHost(), 'ls /sys/class/net'), 'lo')
  const links = JSON.parse(await shell(overHost(), 'ip -j addr'))
  t.equal(links.length, 1)
  t.match(links[0], { ifname: 'lo', addr_info: [{ local: '127.0.0.1' }, { local: '::1' }] })
  t.ok(links[0].flags.includes('UP'))
})

t.test('network: the abstract sockets of the host are out of reach', needsContainers, async t => {
  const name = `cofferdam-test-${process.pid}`
  const script = `require('net').createServer().listen('\\0${name}', () => console.log('up'))`
  const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  try {
    t.match(readFileSync('/proc/net/unix', 'utf8'), name)
    t.equal(await shell(overHost(), `grep -c ${name} /proc/net/unix || true`), '0')
  } finally {
    server.kill()
    await once(server, 'exit')
  }
})

t.test('cgroup: its own group is the root of what it sees', needsContainers, async t => {
  const paths = (await shell(overHost(), 'cut -d: -f3- /proc/self/cgroup | sort -u')).split('\n')
  t.same(paths, ['/'])
})

t.test('mount: nothing of what it mounts reaches the host', needsContainers, async t => {
  const before = readFileSync('/proc/self/mountinfo', 'utf8')
  await using box = await overHost().capabilities(['SYS_ADMIN']).create()
  const main = await box.start([
    'sh',
    '-c',
    'mount -t tmpfs none /mnt && echo mounted && sleep 100',
  ])
  t.equal((await main.stdout.lines().next())?.value, 'mounted')
  t.equal(readFileSync('/proc/self/mountinfo', 'utf8'), before)
})

t.test('without a root of its own it sees the host’s files', needsContainers, async t => {
  const { Container } = await import('cofferdam')
  const builder = () => new Container().isolate('uts', 'pid').hostname('bare')
  t.equal(
    await shell(builder(), 'hostname; cat /etc/hostname'),
    `bare\n${readFileSync('/etc/hostname', 'utf8').trim()}`,
  )
  t.equal(
    await shell(builder(), 'grep NoNewPrivs /proc/1/status | cut -f2 >/dev/null; echo $$'),
    '1',
  )
})

t.test('the Node process itself stays as it is', needsContainers, async t => {
  const look = () => [
    ...all.map(kind => readlinkSync(namespaces.pathOf(kind, process.pid))),
    process.cwd(),
    readFileSync('/proc/self/status', 'utf8').match(
      /^(Umask|Uid|Gid|Groups|Cap\w+|Sig(Blk|Ign|Cgt)):.*/gm,
    ),
  ]
  const before = look()
  await shell(overHost(), 'true')
  t.same(look(), before)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
