// Each row of docs/bubblewrap.md: the same tree, built by bwrap and here.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Container, mounts } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import { look } from '../support/mounted.js'

const { bind, directory, emptyRoot, file, mqueue, overlay, proc, remount, symlink, tmpfs } = mounts
const nothingLeft = await rememberTraces()
const help = execFileSync('bwrap', ['--help'], { encoding: 'utf8' })
const has = (option: string) => help.includes(`    ${option} `)

/** What is there below a place, and how it is mounted. */
const script = `
  find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /usr \\) -prune -o -type d -printf '%p %y %m %U %G\\n' -o -printf '%p %y %m %U %G %s %l\\n' | sort
  [ -n "$PLACES" ] && find $PLACES -printf '%p %y %m %U %G\\n' 2>/dev/null | sort
  for place in / $PLACES; do
    while read -r id parent device root point options rest; do
      [ "$point" = "$place" ] && echo "$point $options \${rest#*- }"
    done < /proc/self/mountinfo | tail -1
  done
  cat /f 2>/dev/null
  true`

interface Row {
  /** Files and folders of the host, and descriptors 3 and 4 of them. */
  args: string[]
  mounts: mounts.Mount[]
  /** Mount points to be compared. */
  places?: string[]
  /** What descriptor 3 is. */
  fd?: string
  /** What is different in the size of what nobody has asked a size for. */
  ignore?: RegExp
}

/** What a row is about. */
interface Host {
  folder: string
  sub: string
  data: string
  fd: number
}

function host(t: Test): Host {
  const folder = join(scratch(t), 'folder')
  mkdirSync(folder, { mode: 0o755 })
  mkdirSync(join(folder, 'sub'), { mode: 0o711 })
  const sub = scratch(t)
  writeFileSync(join(folder, 'file'), 'of the host', { mode: 0o640 })
  symlinkSync('file', join(folder, 'link'))
  const data = join(folder, 'data')
  writeFileSync(data, 'content')
  const fd = openSync(folder, 'r')
  t.teardown(() => closeSync(fd))
  return { folder, sub, data, fd }
}

const rows: Record<string, (host: Host) => Row> = {
  '--bind': ({ folder }) => ({
    args: ['--bind', folder, '/m'],
    mounts: [bind(folder, '/m')],
    places: ['/m'],
  }),
  '--bind-try': ({ folder }) => ({
    args: ['--bind-try', folder, '/m', '--bind-try', '/no/such', '/n'],
    mounts: [bind(folder, '/m', { optional: true }), bind('/no/such', '/n', { optional: true })],
    places: ['/m', '/n'],
  }),
  '--dev-bind': () => ({
    args: ['--dev-bind', '/dev', '/m'],
    mounts: [bind('/dev', '/m', { nodev: 'keep' })],
    places: ['/m', '/m/null', '/m/shm'],
  }),
  '--dev-bind-try': () => ({
    args: [
      '--dir',
      '/m',
      '--dev-bind-try',
      '/dev/null',
      '/m/null',
      '--dev-bind-try',
      '/no/such',
      '/n',
    ],
    mounts: [
      directory('/m'),
      bind('/dev/null', '/m/null', { nodev: 'keep', optional: true }),
      bind('/no/such', '/n', { nodev: 'keep', optional: true }),
    ],
    places: ['/m/null', '/n'],
  }),
  '--ro-bind': ({ folder }) => ({
    args: ['--dir', '/a/b', '--ro-bind', folder, '/a/b/c', '--ro-bind', '/dev', '/d'],
    mounts: [
      directory('/a/b'),
      bind(folder, '/a/b/c', { readonly: true }),
      bind('/dev', '/d', { readonly: true }),
    ],
    places: ['/a/b/c', '/d', '/d/shm'],
  }),
  '--ro-bind-try': ({ data }) => ({
    args: ['--ro-bind-try', data, '/m', '--ro-bind-try', '/no/such', '/n'],
    mounts: [
      bind(data, '/m', { readonly: true, optional: true }),
      bind('/no/such', '/n', { readonly: true, optional: true }),
    ],
    places: ['/m', '/n'],
  }),
  '--bind-fd': ({ fd, folder }) => ({
    args: ['--bind-fd', '3', '/m'],
    mounts: [bind(readlinkSync(`/proc/self/fd/${fd}`), '/m')],
    places: ['/m'],
    fd: folder,
  }),
  '--ro-bind-fd': ({ fd, folder }) => ({
    args: ['--ro-bind-fd', '3', '/m'],
    mounts: [bind(readlinkSync(`/proc/self/fd/${fd}`), '/m', { readonly: true })],
    places: ['/m'],
    fd: folder,
  }),
  '--remount-ro': ({ folder }) => ({
    args: [
      '--bind',
      folder,
      '/m',
      '--tmpfs',
      '/t',
      '--tmpfs',
      '/t/s',
      '--remount-ro',
      '/m',
      '--remount-ro',
      '/t',
    ],
    mounts: [
      bind(folder, '/m'),
      tmpfs('/t', { mode: 0o755, exec: true }),
      tmpfs('/t/s', { mode: 0o755, exec: true }),
      remount('/m', { readonly: true }),
      remount('/t', { readonly: true }),
    ],
    places: ['/m', '/t', '/t/s'],
    ignore: /,size=\d+k/g,
  }),
  '--proc': () => ({
    args: ['--proc', '/p'],
    mounts: [proc('/p')],
    places: ['/p'],
    ignore: /^\/p\/.*/,
  }),
  '--dev': () => ({
    args: [],
    mounts: [],
    places: ['ptmx', 'fd', 'stdin', 'stdout', 'stderr', 'core'].map(name => `/dev/${name}`),
  }),
  '--tmpfs': () => ({
    args: ['--tmpfs', '/t/u'],
    mounts: [tmpfs('/t/u', { mode: 0o755, exec: true })],
    places: ['/t/u'],
    ignore: /,size=\d+k/g,
  }),
  '--mqueue': () => ({
    args: ['--mqueue', '/q'],
    mounts: [mqueue('/q', { nosuid: false, nodev: false, noexec: false })],
    places: ['/q'],
  }),
  '--dir': () => ({
    args: ['--dir', '/a/b/c', '--dir', '/a', '--dir', '/usr/bin'],
    mounts: [directory('/a/b/c'), directory('/a'), directory('/usr/bin')],
  }),
  '--file': ({ data }) => ({
    args: ['--file', '3', '/f', '--dir', '/d'],
    mounts: [file('/f', 'content', { mode: 0o666 }), directory('/d')],
    fd: data,
  }),
  '--bind-data': ({ data }) => ({
    args: ['--bind-data', '3', '/f'],
    mounts: [file('/f', 'content', { mount: true, mode: 0o600 })],
    places: ['/f'],
    fd: data,
    ignore: /,size=\d+k|,nr_inodes=\d+|,mode=\d+/g,
  }),
  '--ro-bind-data': ({ data }) => ({
    args: ['--ro-bind-data', '3', '/f'],
    mounts: [file('/f', 'content', { mount: true, readonly: true, mode: 0o600 })],
    places: ['/f'],
    fd: data,
    ignore: /,size=\d+k|,nr_inodes=\d+|,mode=\d+/g,
  }),
  '--symlink': () => ({
    args: ['--symlink', 'usr/bin', '/b', '--dir', '/deep', '--symlink', '/nowhere', '/deep/l'],
    mounts: [symlink('/b', 'usr/bin'), directory('/deep'), symlink('/deep/l', '/nowhere')],
  }),
  '--perms': ({ data }) => ({
    args: [
      '--perms',
      '0700',
      '--dir',
      '/d',
      '--perms',
      '1777',
      '--tmpfs',
      '/t',
      '--perms',
      '0640',
      '--file',
      '3',
      '/f',
    ],
    mounts: [
      directory('/d', { mode: 0o700 }),
      tmpfs('/t', { mode: 0o1777, exec: true }),
      file('/f', 'content', { mode: 0o640 }),
    ],
    places: ['/t'],
    fd: data,
    ignore: /,size=\d+k|,mode=1777/g,
  }),
  '--size': () => ({
    args: ['--size', '1048576', '--tmpfs', '/t'],
    mounts: [tmpfs('/t', { mode: 0o755, exec: true, size: '1MiB' })],
    places: ['/t'],
  }),
  '--chmod': () => ({
    args: ['--dir', '/d', '--chmod', '0700', '/d'],
    mounts: [directory('/d', { mode: 0o700 })],
  }),
  '--overlay-src': ({ folder, sub }) => ({
    args: ['--overlay-src', sub, '--overlay-src', folder, '--tmp-overlay', '/o'],
    mounts: [overlay('/o', { lower: [folder, sub] })],
    places: ['/o'],
  }),
  '--overlay': ({ folder, sub }) => {
    const [upper, work] = [join(sub, 'upper'), join(sub, 'work')]
    mkdirSync(upper)
    mkdirSync(work)
    return {
      args: ['--overlay-src', folder, '--overlay', upper, work, '/o'],
      mounts: [overlay('/o', { lower: [folder], upper, work })],
      places: ['/o'],
    }
  },
  '--tmp-overlay': ({ folder }) => ({
    args: ['--overlay-src', folder, '--tmp-overlay', '/o'],
    mounts: [overlay('/o', { lower: [folder] })],
    places: ['/o'],
  }),
  '--ro-overlay': ({ folder, sub }) => ({
    args: ['--overlay-src', sub, '--overlay-src', folder, '--ro-overlay', '/o'],
    mounts: [overlay('/o', { lower: [folder, sub], readonly: true })],
    places: ['/o'],
  }),
}

const programs = ['bin', 'sbin', 'lib', 'lib64']

/** What bwrap's container sees. */
function theirs({ args, places = [], fd }: Row): string {
  const stdin = fd === undefined ? 'ignore' : openSync(fd, 'r')
  const base = [
    '--unshare-ipc',
    '--unshare-pid',
    '--ro-bind',
    '/usr',
    '/usr',
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    '--dir',
    '/sys',
  ]
  const links = programs.flatMap(name => ['--symlink', `usr/${name}`, `/${name}`])
  const all = [
    ...base,
    ...links,
    ...args,
    '--setenv',
    'PLACES',
    places.join(' '),
    'sh',
    '-c',
    script,
  ]
  const { stdout, stderr, status } = spawnSync('bwrap', all, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', stdin],
  })
  if (typeof stdin === 'number') closeSync(stdin)
  if (status !== 0) throw new Error(stderr)
  return stdout.trim()
}

async function ours({ mounts: own, places = [] }: Row): Promise<string> {
  const builder = new Container()
    .rootfs(emptyRoot({ nodev: true }))
    .mount(
      bind('/usr', '/usr', { readonly: true }),
      ...programs.map(name => symlink(`/${name}`, `usr/${name}`)),
      ...own,
    )
    .process({ argv: ['sh'], env: { PLACES: places.join(' ') } })
  return (await look(builder, script)).said
}

for (const [option, row] of Object.entries(rows))
  t.test(option, needsRoot, async t => {
    const built = row(host(t))
    const said = await ours(built)
    if (!has(option)) {
      // Newer than the one that is installed here: what it is to build is known all the same.
      t.match(said, /^\/o\/file f 640 0 0$/m)
      t.match(said, option === '--ro-overlay' ? /^\/o ro,.* overlay /m : /^\/o rw,.* overlay /m)
      return
    }
    const plain = (text: string) =>
      text
        .split('\n')
        // The roots differ in what nobody has asked for.
        .filter(line => !line.startsWith('/ '))
        .map(line => line.replace(built.ignore ?? /$^/, ''))
        .filter(Boolean)
        .map(line => line.replace(/^(\S+ \S+ \S+) (?:proc|mqueue|none|tmpfs) /, '$1 SOURCE '))
    t.same(plain(said), plain(theirs(built)))
  })

t.test('what was left out is named', needsRoot, async t => {
  const builder = new Container()
    .rootfs(emptyRoot())
    .mount(
      bind('/no/such', '/n', { optional: true }),
      bind('/no/such', '/m', { optional: true, propagation: 'slave' }),
    )
  await using box = await builder.create()
  t.match(box.omitted, [
    { step: 'peer /m' },
    { step: 'bind /n', error: { code: 'ENOENT' } },
    { step: 'bind /m' },
  ])
  await t.rejects(new Container().mount(bind('/no/such', '/n')).create(), {
    code: 'ENOENT',
    option: 'mount',
  })
})

t.test('every option of bwrap is in the table, and every row has been built', async t => {
  const text = readFileSync(new URL('../../../docs/bubblewrap.md', import.meta.url), 'utf8')
  const [, building = '', rest = ''] = text.split(/^## .*$/m)
  const options = (part: string) => part.match(/(?<=`)--[a-z0-9-]+/g) ?? []
  t.same([...new Set(options(building))].sort(), Object.keys(rows).sort())
  const named = [...options(building), ...options(rest)]
  const known = help.match(/(?<=^ {4})--[a-z0-9-]+/gm) ?? []
  const missing = known.filter(
    option => !named.includes(option) && !['--help', '--version'].includes(option),
  )
  t.same(missing, [])
})

t.test('nothing is left behind', needsContainers, nothingLeft)
