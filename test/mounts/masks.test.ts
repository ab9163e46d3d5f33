// Paths that are hidden or made read-only: of every kind, anywhere, and many.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Container, mounts } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  run,
  scratch,
} from '../support/index.js'
import { look } from '../support/mounted.js'

const { bind, tmpfs } = mounts
const nothingLeft = await rememberTraces()

/** What perl(1) makes of a path: its type, its device, and what can be read of it. */
const examine = `
  $SIG{ALRM} = sub { die "blocks\\n" };
  for (@ARGV) {
    my $path = $_;
    my @status = stat $path;
    print "$path ", !@status ? "missing" : -d _ ? "directory" : -c _ ? "character" : -p _ ? "fifo"
      : -S _ ? "socket" : -f _ ? "file" : "other", @status ? " $status[6] " : " ";
    if (-d _) { opendir my $d, $path; print scalar grep !/^\\.\\.?$/, readdir $d }
    else {
      alarm 2;
      my $n = eval { open my $f, "<", $path or return "no"; sysread $f, my $x, 100 };
      alarm 0;
      print $n // "blocks";
    }
    print "\\n";
  }`
const NULL = 'character 259 0' // makedev(1, 3), of which nothing is read
const EMPTY = 'directory 0 0'

/** Makes one of every kind of file. */
async function everyKind(t: Test, folder: string): Promise<void> {
  mkdirSync(join(folder, 'full/deep'), { recursive: true })
  writeFileSync(join(folder, 'full/deep/secret'), 'secret')
  writeFileSync(join(folder, 'file'), 'secret')
  execFileSync('mkfifo', [join(folder, 'fifo')])
  execFileSync('mknod', [join(folder, 'zero'), 'c', '1', '5'])
  execFileSync('mknod', [join(folder, 'block'), 'b', '240', '0'])
  symlinkSync('full', join(folder, 'inside'))
  symlinkSync('/no/such', join(folder, 'nothing'))
  symlinkSync('../../../../../../../../hidden/target', join(folder, 'outside'))
  symlinkSync('circle', join(folder, 'circle'))
  const listen = `use Socket; socket my $s, AF_UNIX, SOCK_STREAM, 0;
    bind $s, pack_sockaddr_un "$ARGV[0]" or die; listen $s, 1; print "\\n"; $| = 1; print "\\n"; sleep 60`
  const server = spawn('perl', ['-e', listen, join(folder, 'socket')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(server.stdout, 'data')
  t.teardown(async () => {
    server.kill()
    await once(server, 'close')
  })
}

const kinds = ['full', 'file', 'fifo', 'zero', 'block', 'socket', 'inside', 'nothing', 'outside']
const names = [...kinds, 'missing', 'file/below', 'missing/below']

/** A root with them in it, and a bind mount of a folder with them below another mount. */
async function furnished(t: Test) {
  const root = makeRoot(t)
  mkdirSync(join(root, 'hidden'))
  writeFileSync(join(root, 'hidden/target'), 'secret')
  mkdirSync(join(root, 'a/b'), { recursive: true })
  await everyKind(t, join(root, 'a/b'))
  const mounted = scratch(t)
  await everyKind(t, mounted)
  mkdirSync(join(mounted, 'up/hidden'), { recursive: true })
  const builder = () =>
    new Container()
      .rootfs(root, { nodev: false })
      .mount(hostPrograms, tmpfs('/m'), bind(mounted, '/m/n', { nodev: false }))
  return { root, mounted, builder }
}

const folders = ['/a/b', '/m/n']
const all = folders.flatMap(folder => names.map(name => `${folder}/${name}`))

const perl = (script: string, paths: readonly string[]) => ['perl', '-e', script, ...paths]
const lines = (text: string) => text.trim().split('\n')

t.test('masked: of every kind, in the root and below other mounts', needsRoot, async t => {
  const { builder } = await furnished(t)
  const looked = folders.flatMap(folder => kinds.map(name => `${folder}/${name}`))
  const open = await run(builder(), perl(examine, [...looked, '/hidden/target']))
  t.match(open.stdout, '/a/b/file file 0 6\n', 'there is something to be hidden')
  t.match(open.stdout, /\/a\/b\/zero character 261 100\n/)
  t.match(open.stdout, /\/a\/b\/fifo fifo 0 blocks\n/)
  t.match(open.stdout, '/a/b/full directory 0 1\n')
  t.match(open.stdout, '/hidden/target file 0 6\n')

  const masked = await run(builder().maskedPaths(all), perl(examine, [...looked, '/hidden/target']))
  const expected = folders.flatMap(folder => [
    ...[`${folder}/full ${EMPTY}`, `${folder}/file ${NULL}`, `${folder}/fifo ${NULL}`],
    ...[`${folder}/zero ${NULL}`, `${folder}/block ${NULL}`, `${folder}/socket ${NULL}`],
    // What a link leads to is hidden, by whichever name; as a path of the container.
    `${folder}/inside ${EMPTY}`,
    `${folder}/nothing missing no`,
    `${folder}/outside ${NULL}`,
  ])
  t.same(lines(masked.stdout), [...expected, `/hidden/target ${NULL}`], masked.stderr)
})

t.test('masked: nobody listens behind a socket, nobody reads a FIFO', needsRoot, async t => {
  const { builder } = await furnished(t)
  const connect = `use Socket; for (@ARGV) { socket my $s, AF_UNIX, SOCK_STREAM, 0;
    print connect($s, pack_sockaddr_un $_) ? "connected" : $!, "\\n" }`
  const sockets = ['/a/b/socket', '/m/n/socket']
  const open = await run(builder(), perl(connect, sockets))
  t.same(lines(open.stdout), ['connected', 'connected'])
  const masked = await run(builder().maskedPaths(sockets), perl(connect, sockets))
  t.same(lines(masked.stdout), ['Connection refused', 'Connection refused'])
})

t.test('masked: root inside can not undo it', needsRoot, async t => {
  const { builder } = await furnished(t)
  const targets = ['/a/b/full', '/a/b/file', '/m/n/full', '/m/n/fifo']
  const script = `for path; do
      umount $path || umount -l $path || mount --bind $path /tmp || mount -t tmpfs none $path ||
        rm -rf $path || mv $path /tmp/x || mkdir $path/x || echo kept
    done 2>/dev/null; echo x > /a/b/file; cat /a/b/file; ls /a/b/full /m/n/full
    unshare --mount umount /a/b/full 2>&1; unshare --user --map-root-user --mount umount /a/b/full 2>&1`
  const done = await run(builder().maskedPaths(targets), ['sh', '-c', script, 'sh', ...targets])
  t.match(done.stdout, /^kept\nkept\nkept\nkept\n\/a\/b\/full:\n\n\/m\/n\/full:\n/)
  t.notMatch(done.stdout, /secret/)
  t.match(done.stdout, /unshare: unshare failed: Operation not permitted/)
  t.match(done.stdout.trim(), /(not permitted|not mounted|Invalid argument|must be superuser).*$/)
})

t.test('masked: from outside, read-only and the one empty directory', needsRoot, async t => {
  const { builder } = await furnished(t)
  const { mounts: table } = await look(builder().maskedPaths(['/a/b/full', '/m/n/full', '/etc']))
  const places = ['/a/b/full', '/m/n/full', '/etc'].map(place => table.get(place))
  for (const place of places) {
    t.equal(place?.fsType, 'ramfs')
    t.match(place?.options, /^ro,nosuid,nodev,noexec/)
  }
  t.equal(new Set(places.map(place => `${place?.major}:${place?.minor}`)).size, 1)
})

t.test('read-only: of every kind, and what is mounted below them', needsRoot, async t => {
  const { builder } = await furnished(t)
  const write = `use Errno; use Fcntl;
    for (@ARGV) { print "$_ ", (sysopen(my $f, $_, O_WRONLY | O_NONBLOCK) ? "open" : $!), "\\n" }`
  const files = folders.flatMap(folder => [
    ...[`${folder}/full/deep/secret`, `${folder}/file`, `${folder}/inside/deep/secret`],
    `${folder}/outside`,
  ])
  const open = await run(builder(), perl(write, files))
  t.same(
    lines(open.stdout),
    files.map(file => `${file} open`),
  )
  const readonly = await run(builder().readonlyPaths(all), perl(write, files))
  t.same(
    lines(readonly.stdout),
    files.map(file => `${file} Read-only file system`),
    readonly.stderr,
  )
  // To sockets, FIFOs and devices one may write through a mount that is read-only: path_resolution(7).
  const attributes = `for path; do
      chmod 777 $path 2>&1; done | grep -vc "Read-only file system"; mkdir /m/x && echo elsewhere`
  const special = folders.flatMap(folder =>
    ['fifo', 'zero', 'block', 'socket', 'full', 'file'].map(name => `${folder}/${name}`),
  )
  const changed = await run(builder().readonlyPaths(all), [
    ...['sh', '-c', attributes, 'sh', ...special],
  ])
  t.equal(changed.stdout, '0\nelsewhere\n', changed.stderr)

  const below = await run(builder().readonlyPaths(['/m']), [
    ...['sh', '-c', 'touch /m/x /m/n/x /m/n/full/x; mount -o remount,rw /m; umount /m; touch /m/x'],
  ])
  t.equal(below.stderr.match(/touch: .*Read-only file system/g)?.length, 4, below.stderr)
  t.match(below.stderr, /mount: .*(superuser|denied|not permitted)/)
})

t.test('both at one path: hidden, and read-only', needsRoot, async t => {
  const { builder } = await furnished(t)
  const both = builder().maskedPaths(['/a/b/full', '/a/b/file']).readonlyPaths(['/a'])
  const { said, mounts: table } = await look(both, 'ls /a/b/full; cat /a/b/file; touch /a/x')
  t.match(said, /^touch: .*Read-only file system$/)
  t.match(table.get('/a/b/full')?.options, /^ro/)
})

// The kernel says the same of a magic link, behind which there may be something.
t.test('a link that leads in a circle is no path that is not there', needsRoot, async t => {
  const { builder } = await furnished(t)
  const path = '/a/b/circle'
  for (const [made, step] of [
    [builder().maskedPaths([path]), 'masked paths'],
    [builder().readonlyPaths([path]), 'read-only paths'],
  ] as const)
    await t.rejects(made.create(), { code: 'ELOOP', syscall: 'openat2', step, path })
})

t.test('hundreds of each at once', needsRoot, async t => {
  const { root, builder } = await furnished(t)
  const many = Array.from({ length: 400 }, (_, i) => `/many/${i}`)
  for (const [i, path] of many.entries())
    if (i % 2 === 0) mkdirSync(join(root, path, 'secret'), { recursive: true })
    else writeFileSync(join(root, path), 'secret\n')
  const count = 'cat /many/*; ls -d /many/*/*; touch /many/* /many/0/x 2>&1 | grep -c Read-only'
  const masked = await look(builder().maskedPaths(many), count)
  t.notMatch(masked.said, /secret/)
  t.equal([...masked.mounts.keys()].filter(place => place.startsWith('/many/')).length, 400)
  const readonly = await look(builder().readonlyPaths(many), count)
  t.equal(readonly.said.match(/secret\b/g)?.length, 400, 'all can be read')
  t.match(readonly.said, /^401$/m, 'none can be written to')
})

t.test('nothing is left behind', needsRoot, nothingLeft)
