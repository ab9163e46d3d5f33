import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  createReadStream,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, Container, overlay, tmpfs } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  overHost,
  rememberTraces,
  runIn,
  scratch,
  traces,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

/** A container in a root of its own, parked, and the root's path on the host. */
async function parked(t: Test, change = (builder: Container) => builder) {
  const root = makeRoot(t)
  const box = await change(new Container().rootfs(root).mount(hostPrograms)).create()
  t.teardown(() => box.delete())
  return { root, box }
}

/** What tar(1) says, of bytes that it is given. */
function tar(args: string[], input: Buffer): string {
  return execFileSync('tar', args, { input, encoding: 'utf8', maxBuffer: 1 << 28 })
}

/** An archive that tar(1) makes of a folder, with names as given. */
function tarOf(folder: string, ...args: string[]): Readable {
  return Readable.from([
    execFileSync('tar', ['-C', folder, '--numeric-owner', '-cf', '-', ...args]),
  ])
}

/** One entry by hand: what tar(1) would rather not write. */
function entry(
  name: string,
  type = '0',
  { link = '', content = '', mode = '0000644' } = {},
): Buffer {
  const block = Buffer.alloc(512)
  const field = (at: number, text: string) => block.write(text, at)
  field(0, name)
  field(100, `${mode}\0`)
  field(108, '0000000\0')
  field(116, '0000000\0')
  field(124, `${content.length.toString(8).padStart(11, '0')}\0`)
  field(136, '00000000000\0')
  field(148, '        ')
  field(156, type)
  field(157, link)
  field(257, 'ustar\x0000')
  const sum = block.reduce((all, byte) => all + byte, 0)
  field(148, `${sum.toString(8).padStart(6, '0')}\0 `)
  const padded = Buffer.alloc(Math.ceil(content.length / 512) * 512)
  padded.write(content)
  return Buffer.concat([block, padded])
}

const stream = (...parts: Buffer[]) =>
  Readable.from([Buffer.concat([...parts, Buffer.alloc(1024)])])

const bytesOf = async (box: Box, path: string) => buffer(box.archive(path))

t.test('an archive is what tar(1) takes it for', needsRoot, async t => {
  const { root, box } = await parked(t)
  const tree = join(root, 'tree')
  mkdirSync(join(tree, 'below'), { recursive: true })
  writeFileSync(join(tree, 'plain'), 'text\n')
  writeFileSync(join(tree, 'empty'), '')
  writeFileSync(join(tree, 'setuid'), 'x'.repeat(512))
  chownSync(join(tree, 'setuid'), 12, 34)
  chmodSync(join(tree, 'setuid'), 0o6751)
  chownSync(join(tree, 'plain'), 3_000_000, 70_000)
  chmodSync(join(tree, 'below'), 0o1777)
  symlinkSync('../../etc/passwd', join(tree, 'link'))
  symlinkSync('a'.repeat(300), join(tree, 'long-link'))
  linkSync(join(tree, 'plain'), join(tree, 'second-name'))
  execFileSync('mkfifo', [join(tree, 'fifo')])
  execFileSync('mknod', [join(tree, 'device'), 'c', '511', '70000'])
  const long = `${'d'.repeat(120)}/${'e'.repeat(120)}`
  mkdirSync(join(tree, long), { recursive: true })
  writeFileSync(join(tree, long, 'ümläut and a space\n'), 'deep')
  // These tar compares to the nanosecond.
  utimesSync(join(tree, 'plain'), 1e9, 1e9)
  utimesSync(join(tree, long, 'ümläut and a space\n'), 1e9, 1e9)

  const bytes = await bytesOf(box, '/tree')
  const listing = tar(['--numeric-owner', '--full-time', '-tvf', '-'], bytes)
  t.match(listing, /-rwsr-s--x 12\/34 +512 .* tree\/setuid\n/)
  t.match(listing, /drwxrwxrwt 0\/0 +0 .* tree\/below\/\n/)
  t.match(listing, /lrwxrwxrwx .* tree\/link -> \.\.\/\.\.\/etc\/passwd\n/)
  t.match(listing, /prw-r--r-- .* tree\/fifo\n/)
  t.match(listing, /crw-r--r-- 0\/0 +511,70000 .* tree\/device\n/)
  t.match(listing, / 3000000\/70000 /)
  t.match(
    listing,
    / (tree\/plain link to tree\/second-name|tree\/second-name link to tree\/plain)\n/,
  )
  // The whole of it, compared by tar itself with what is there.
  t.equal(tar(['-C', root, '--numeric-owner', '-df', '-'], bytes), '')
  const names = tar(['-tf', '-', '--quoting-style=literal', '--null'], bytes)
  t.match(names, `tree/${long}/ümläut and a space`)
})

t.test('what the names begin with', needsRoot, async t => {
  const root = makeRoot(t)
  const box = await new Container().rootfs(root).mount(tmpfs('/memory')).create()
  t.teardown(() => box.delete())
  await box.extract('/memory', stream(entry('file')))
  mkdirSync(join(root, 'a/b'), { recursive: true })
  writeFileSync(join(root, 'a/b/c'), '')
  symlinkSync('/a/b', join(root, 'l'))
  const names = async (path: string) =>
    tar(['-tf', '-'], await bytesOf(box, path))
      .trim()
      .split('\n')
  t.same(await names('/a/b'), ['b/', 'b/c'])
  t.same(await names('/a/b/.'), ['./', './c'])
  t.same(await names('//a/./b/c'), ['c'])
  t.same(await names('/l'), ['l'])
  t.same(await names('/l/'), ['l/', 'l/c'])
  t.same(await names('/l/.'), ['./', './c'])
  t.same(await names('/l/c'), ['c'])
  const all = await names('/')
  t.equal(all[0], './')
  t.ok(all.includes('./a/b/c'))
  t.ok(all.includes('./memory/file'), 'what is mounted is there')
  t.ok(all.includes('./dev/null'))
  t.same(
    all.filter(name => name.startsWith('./proc/') || name.startsWith('./sys/')),
    ['./proc/', './sys/'],
    'but not what the kernel makes up',
  )
})

t.test('extracting is what tar(1) would do', needsRoot, async t => {
  const { root, box } = await parked(t)
  const from = scratch(t)
  mkdirSync(join(from, 'dir/sub'), { recursive: true })
  writeFileSync(join(from, 'dir/file'), 'content')
  chownSync(join(from, 'dir/file'), 12, 34)
  chmodSync(join(from, 'dir/file'), 0o4711)
  chmodSync(join(from, 'dir/sub'), 0o2700)
  chownSync(join(from, 'dir/sub'), 5, 6)
  symlinkSync('/nowhere', join(from, 'dir/link'))
  lchownSync(join(from, 'dir/link'), 7, 8)
  linkSync(join(from, 'dir/file'), join(from, 'dir/other'))
  const long = `${'x'.repeat(200)}/${'y'.repeat(200)}`
  mkdirSync(join(from, 'dir', long), { recursive: true })
  writeFileSync(join(from, 'dir', long, 'ü'), 'deep')
  utimesSync(join(from, 'dir/file'), 1e9, 1e9)
  utimesSync(join(from, 'dir/sub'), 1e9, 1e9)
  for (const options of [[], ['--format=gnu'], ['--format=pax'], ['-z']]) {
    mkdirSync(join(root, 'to'))
    await box.extract('/to', tarOf(from, ...options, 'dir'))
    const bytes = execFileSync('tar', ['-C', from, '-cf', '-', 'dir'])
    t.equal(tar(['-C', join(root, 'to'), '-df', '-'], bytes), '', `as it was: ${options}`)
    const at = (name: string) => lstatSync(join(root, 'to/dir', name))
    t.equal(at('file').mode & 0o7777, 0o4711)
    t.match(at('link'), { uid: 7, gid: 8 })
    t.equal(at('other').ino, at('file').ino)
    t.equal(at('sub').mtimeMs, 1e12)
    rmSync(join(root, 'to'), { recursive: true })
  }
  // and back again, through a program inside
  await box.extract('/tmp', box.archive('/usr/bin/env'))
  t.equal(
    (await runIn(box, ['sh', '-c', 'cmp /tmp/env /usr/bin/env && echo same'])).stdout,
    'same\n',
  )
})

t.test('what is there already', needsRoot, async t => {
  const { root, box } = await parked(t)
  writeFileSync(join(root, 'tmp/file'), 'before')
  linkSync(join(root, 'tmp/file'), join(root, 'tmp/other-name'))
  symlinkSync('other-name', join(root, 'tmp/link'))
  mkdirSync(join(root, 'real'))
  symlinkSync('/real', join(root, 'tmp/to-real'))
  writeFileSync(join(root, 'tmp/becomes-directory'), '')
  mkdirSync(join(root, 'tmp/stays'))
  chmodSync(join(root, 'real'), 0o700)
  await box.extract(
    '/tmp',
    stream(
      entry('file', '0', { content: 'after' }),
      entry('link', '0', { content: 'no link' }),
      entry('./to-real/', '5', { mode: '0000777' }),
      entry('to-real/in', '0', { content: 'there' }),
      entry('becomes-directory/', '5'),
      entry('becomes-directory/x', '0'),
      entry('/stays', '5', { mode: '0000711' }),
      entry('a/b/c', '0'),
      entry('./', '5', { mode: '0000000' }),
    ),
  )
  const content = (name: string) => readFileSync(join(root, 'tmp', name), 'utf8')
  t.equal(content('file'), 'after')
  t.equal(content('other-name'), 'before', 'another name of it is another file now')
  t.equal(content('link'), 'no link')
  t.equal(readlinkSync(join(root, 'tmp/to-real')), '/real')
  t.equal(readFileSync(join(root, 'real/in'), 'utf8'), 'there')
  t.equal(statSync(join(root, 'real')).mode & 0o777, 0o700, 'who a link leads to is left alone')
  t.ok(existsSync(join(root, 'tmp/becomes-directory/x')))
  t.equal(statSync(join(root, 'tmp/stays')).mode & 0o777, 0o711)
  t.equal(statSync(join(root, 'tmp/a/b')).mode & 0o777, 0o755)
  t.equal(statSync(join(root, 'tmp')).mode & 0o7777, 0o755, 'the directory itself stays')
  await t.rejects(box.extract('/tmp', stream(entry('stays', '0'))), { code: 'EISDIR' })
})

t.test('50 MB through a stream, and little of it in memory', needsRoot, async t => {
  const { root, box } = await parked(t)
  const size = 50_000_123
  const big = join(root, 'tmp/big')
  execFileSync('sh', ['-c', `head -c ${size} /dev/urandom > ${big}`])
  const hash = createHash('sha256')
  await pipeline(createReadStream(big), hash)
  await box.extract('/', box.archive('/tmp/big'))
  const again = createHash('sha256')
  await pipeline(createReadStream(join(root, 'big')), again)
  t.equal(again.digest('hex'), hash.digest('hex'))
  truncateSync(big, 500_000_000)
  const before = process.memoryUsage().rss
  let [most, read] = [0, 0]
  for await (const chunk of box.archive('/tmp/big')) {
    read += chunk.length
    most = Math.max(most, process.memoryUsage.rss())
  }
  t.equal(read, 512 + Math.ceil(500_000_000 / 512) * 512 + 1024)
  t.ok(most - before < 100e6, `${Math.round((most - before) / 1e6)} MB more`)
})

t.test('a stream that nobody reads is not read ahead', needsRoot, async t => {
  const { root, box } = await parked(t)
  writeFileSync(join(root, 'tmp/big'), Buffer.alloc(20_000_000))
  const archive = box.archive('/tmp/big')
  archive.once('readable', () => undefined)
  await sleep(100)
  t.ok(archive.readableLength <= 3 * 64 * 1024, `${archive.readableLength}`)
  const before = traces()
  archive.destroy()
  await finished(archive).catch(() => undefined)
  t.ok(await until(() => traces().descriptors < before.descriptors))
})

t.test('given up half-way', needsRoot, async t => {
  const { root, box } = await parked(t)
  writeFileSync(join(root, 'tmp/big'), Buffer.alloc(20_000_000))
  const { descriptors } = traces()
  for (let i = 0; i < 5; i++) {
    for await (const _ of box.archive('/tmp')) break
    const abort = new AbortController()
    const archive = box.archive('/tmp', { signal: abort.signal })
    archive.once('data', () => abort.abort())
    await t.rejects(finished(archive), { name: 'AbortError' })
    // In the midst of a file, and with a source that never goes on
    const [first] = [entry('x', '0', { content: 'y'.repeat(1000) }).subarray(0, 700)]
    const stuck = new AbortController()
    const source = async function* () {
      yield first as Buffer
      setTimeout(() => stuck.abort(), 20)
      await new Promise(() => undefined)
    }
    const stuckSource = Readable.from(source())
    await t.rejects(box.extract('/tmp', stuckSource, { signal: stuck.signal }), {
      name: 'AbortError',
    })
    // A source that fails
    const fails = async function* () {
      yield first as Buffer
      throw Object.assign(new Error('no more'), { code: 'EMINE' })
    }
    await t.rejects(box.extract('/tmp', fails()), { name: 'CofferdamError', code: 'EMINE' })
  }
  t.ok(await until(() => traces().descriptors <= descriptors))
  await t.rejects(box.extract('/tmp', stream(), { signal: AbortSignal.abort() }), {
    name: 'AbortError',
  })
})

t.test('files that change while they are read', needsRoot, async t => {
  const { root, box } = await parked(t)
  for (const [change, wanted] of [
    [(file: string) => truncateSync(file, 100_000), 1_000_000],
    [(file: string) => appendFileSync(file, 'more'), 1_000_000],
    [(file: string) => rmSync(file), 1_000_000],
  ] as const) {
    const file = join(root, 'tmp/changes')
    writeFileSync(file, Buffer.alloc(1_000_000, 'x'))
    const chunks: Buffer[] = []
    for await (const chunk of box.archive('/tmp')) {
      if (chunks.push(chunk) === 3) change(file)
    }
    const listing = tar(['-tvf', '-'], Buffer.concat(chunks))
    t.match(listing, `${wanted}`)
    rmSync(file, { force: true })
  }
})

t.test('FIFOs, sockets and devices are not opened', needsRoot, async t => {
  const { root, box } = await parked(t)
  execFileSync('mkfifo', [join(root, 'tmp/fifo')])
  const main = await box.start([
    'perl',
    '-MSocket',
    '-e',
    'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un("/tmp/socket")); print "ok\n"; $|=1; sleep 100',
  ])
  t.ok(await until(() => existsSync(join(root, 'tmp/socket'))))
  t.equal(tar(['-tf', '-'], await bytesOf(box, '/tmp')), 'tmp/\ntmp/fifo\n')
  t.match(tar(['-tvf', '-'], await bytesOf(box, '/dev/zero')), /crw-rw-rw- 0\/0 +1,5 /)
  await main.kill('SIGKILL')
})

/** Programs that exchange a directory and a symbolic link for ever; renameat2(2). */
const FLIP = `
  my $nr = (\`uname -m\` =~ /x86_64/) ? 316 : 276;
  $| = 1; print "ok\\n";
  while (1) { syscall($nr, -100, $ARGV[0], -100, $ARGV[1], 2) }
`

t.test(
  'a race: what is a directory one moment is a link out of the root the next',
  needsRoot,
  async t => {
    const { root, box } = await parked(t)
    const outside = join(scratch(t), 'outside')
    mkdirSync(outside)
    writeFileSync(join(outside, 'name'), 'SECRET')
    const work = join(root, 'yard')
    mkdirSync(work)
    const up = '../'.repeat(20)
    const pairs = ['absolute', 'relative', 'magic'].map((kind, i) => {
      const [directory, link] = [join(work, `flip${i}`), join(work, `link${i}`)]
      mkdirSync(directory)
      writeFileSync(join(directory, 'name'), 'inside')
      symlinkSync(
        {
          absolute: outside,
          relative: `${up}${outside.slice(1)}`,
          magic: `/proc/self/root${outside}`,
        }[kind] as string,
        link,
      )
      return [`/yard/flip${i}`, `/yard/link${i}`] as const
    })
    const main = await box.start([
      'sh',
      '-c',
      `${pairs.map(([a, b]) => `perl -e '${FLIP}' ${a} ${b} &`).join(' ')} wait`,
    ])
    for await (const line of main.stdout.lines()) if (line === 'ok') break

    let naive = 0
    let [inside, refused, wrote] = [0, 0, 0]
    const ends = Date.now() + 8000
    while (Date.now() < ends) {
      for (const [flip] of pairs) {
        for (let i = 0; i < 20; i++)
          try {
            if (readFileSync(join(root, flip, 'name'), 'utf8') === 'SECRET') naive++
          } catch {}
        const attempts = [
          bytesOf(box, `${flip}/name`),
          bytesOf(box, `${flip}/`),
          bytesOf(box, '/yard'),
        ].map(async attempt => {
          const text = (await attempt).toString('latin1')
          if (text.includes('SECRET')) t.fail('read what is outside')
          if (text.includes('inside')) inside++
        })
        const writes = [
          box.extract(flip, stream(entry('written', '0', { content: 'x' }))),
          box.extract(
            '/yard',
            stream(
              entry(`${flip.slice(6)}/name`, '0', { content: 'inside' }),
              entry(`${flip.slice(6)}/sub/`, '5'),
            ),
          ),
          box.extract('/', stream(entry(`${flip}/hard`, '1', { link: `${flip}/name` }))),
        ].map(async attempt => {
          await attempt
          wrote++
        })
        for (const { status, reason } of (await Promise.allSettled([
          ...attempts,
          ...writes,
        ])) as PromiseRejectedResult[])
          if (status === 'rejected') {
            refused++
            t.match(reason, {
              name: 'CofferdamError',
              code: /ENOENT|ENOTDIR|EINVAL|EEXIST|ELOOP|EISDIR/,
            })
          }
      }
    }
    await main.kill('SIGKILL')
    await main.exited
    t.ok(naive > 0, `who goes by the host's path is fooled: ${naive} times`)
    t.ok(
      inside > 0 && wrote > 0 && refused > 0,
      `${inside} read, ${wrote} written, ${refused} refused`,
    )
    t.same(readdirSync(outside), ['name'])
    t.equal(readFileSync(join(outside, 'name'), 'utf8'), 'SECRET')
  },
)

t.test('planted links', needsRoot, async t => {
  const { root, box } = await parked(t)
  const outside = join(scratch(t), 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), 'SECRET')
  const links = {
    absolute: outside,
    up: `${'../'.repeat(20)}${outside.slice(1)}`,
    magic: `/proc/1/root${outside}`,
    cwd: `/proc/self/cwd${outside}`,
    fd: '/proc/self/fd/3',
    loop: 'loop',
  }
  for (const [name, to] of Object.entries(links)) symlinkSync(to, join(root, 'tmp', name))
  for (const name of Object.keys(links)) {
    const error = {
      name: 'CofferdamError',
      code: name === 'loop' ? 'ELOOP' : 'ENOENT',
      path: /tmp/,
    }
    await t.rejects(bytesOf(box, `/tmp/${name}/secret`), error, name)
    await t.rejects(bytesOf(box, `/tmp/${name}/`), error)
    await t.rejects(box.extract(`/tmp/${name}`, stream(entry('x'))), error)
  }
  // Planted by the archive itself: absolute is absolute in the root.
  mkdirSync(join(root, 'etc/deep'), { recursive: true })
  await box.extract(
    '/tmp',
    stream(
      entry('a', '2', { link: '/etc' }),
      entry('a/planted-by-a-test', '0', { content: 'mine' }),
    ),
  )
  t.equal(readFileSync(join(root, 'etc/planted-by-a-test'), 'utf8'), 'mine')
  await box.extract(
    '/tmp',
    stream(entry('b', '2', { link: '../../../../../../etc' }), entry('b/planted-too', '0')),
  )
  t.ok(existsSync(join(root, 'etc/planted-too')))
  // A directory that is missing behind a link is made in the root, or not at all.
  await box
    .extract('/tmp', stream(entry('c', '2', { link: outside }), entry('c/planted', '0')))
    .catch(() => undefined)
  // Hard links find their target in the directory, and never beyond the root.
  await box.extract('/tmp', stream(entry('d', '1', { link: 'a/planted-by-a-test' })))
  t.equal(statSync(join(root, 'tmp/d')).ino, statSync(join(root, 'etc/planted-by-a-test')).ino)
  for (const link of ['../../etc/passwd', `up/secret`, `absolute/secret`, 'no/such'])
    await t.rejects(box.extract('/tmp', stream(entry('e', '1', { link }))), {
      code: /ERR_ARCHIVE|ENOENT/,
    })
  t.same(readdirSync(outside), ['secret'])
})

t.test('what is refused of an archive', needsRoot, async t => {
  const { root, box } = await parked(t)
  const refused = (code: string, ...parts: Buffer[]) =>
    t.rejects(box.extract('/tmp', stream(...parts)), { name: 'CofferdamError', code })
  await refused('ERR_ARCHIVE', entry('../x'))
  await refused('ERR_ARCHIVE', entry('a/../../x'))
  await refused('ERR_ARCHIVE', entry('x', '2'))
  await refused('ERR_UNSUPPORTED', entry('fifo', '6'))
  await refused('ERR_UNSUPPORTED', entry('device', '3'))
  await refused('ERR_UNSUPPORTED', entry('volume', 'V'))
  await refused('ERR_ARCHIVE', Buffer.from('no archive at all'.repeat(100)))
  await refused('ENOENT', entry('x', '1', { link: 'no-such' }))
  await t.rejects(box.extract('/tmp', Readable.from([])), { code: 'ERR_ARCHIVE' })
  await t.rejects(
    box.extract('/tmp', Readable.from([entry('x', '0', { content: 'long' }).subarray(0, 514)])),
    {
      code: 'ERR_ARCHIVE',
    },
  )
  await t.rejects(box.extract('/tmp', Readable.from(['text'])), { code: 'ERR_INVALID_OPTION' })
  await t.rejects(box.extract('/no/such', stream()), { code: 'ENOENT', path: '/no/such' })
  await t.rejects(box.extract('/tmp/x', stream()), { code: /ENOTDIR|ENOENT/ })
  await t.rejects(box.extract('/proc', stream(entry('x'))), { name: 'CofferdamError' })
  t.notOk(existsSync(join(root, 'x')))
  // What came before stays.
  await refused('ERR_ARCHIVE', entry('before'), entry('../x'))
  t.ok(existsSync(join(root, 'tmp/before')))
  // An empty one is fine.
  await box.extract('/tmp', stream())
})

t.test('options that are wrong', needsRoot, async t => {
  const { box } = await parked(t)
  const invalid = { code: 'ERR_INVALID_OPTION' }
  for (const path of ['', 'tmp', '/a/../b', '/a\0', 3]) {
    t.throws(() => box.archive(path as string), invalid)
    await t.rejects(box.extract(path as string, stream()), invalid)
  }
  t.throws(() => box.archive('/', { x: 1 } as never), { ...invalid, option: 'archive.x' })
  await t.rejects(box.extract('/tmp', 'x' as never), invalid)
  await t.rejects(bytesOf(box, '/no/such'), {
    name: 'CofferdamError',
    code: 'ENOENT',
    path: '/no/such',
  })
})

t.test('names that are no UTF-8 are refused and not changed', needsRoot, async t => {
  const { root, box } = await parked(t)
  writeFileSync(Buffer.concat([Buffer.from(join(root, 'tmp/')), Buffer.from([0xff])]), '')
  await t.rejects(bytesOf(box, '/tmp'), { code: 'EILSEQ' })
})

t.test('directories without end', needsRoot, async t => {
  const { root, box } = await parked(t)
  const { exitCode } = await runIn(box, [
    'perl',
    '-e',
    'chdir "/tmp"; for (1..3000) { mkdir "d" or die; chdir "d" or die }',
  ])
  t.equal(exitCode, 0)
  // Node's own rmSync() would not survive it.
  t.teardown(() => execFileSync('rm', ['-rf', join(root, 'tmp/d')]))
  await t.rejects(bytesOf(box, '/tmp'), { code: 'ENAMETOOLONG' })
  await t.rejects(bytesOf(box, `/tmp${'/d'.repeat(1500)}`), { code: 'ENAMETOOLONG' })
})

t.test('a running container, its mounts, and what it is not to have', needsRoot, async t => {
  const { box } = await parked(t, builder => builder.mount(tmpfs('/memory')))
  const main = await box.start(['sh', '-c', 'echo hello > /memory/file; read x'])
  await sleep(100)
  t.equal(tar(['-xOf', '-'], await bytesOf(box, '/memory/file')), 'hello\n')
  await box.extract('/memory', stream(entry('other', '0', { content: 'world' })))
  const cat = await box.exec(['cat', '/memory/other'])
  t.equal(await cat.stdout.text(), 'world')
  await t.rejects(box.extract('/usr', stream(entry('x'))), { code: 'EROFS' })
  main.stdin.end()
  await main.exited
})

t.test('in a user namespace ids are the container’s', needsRoot, async t => {
  const root = makeRoot(t)
  chmodSync(dirname(root), 0o755)
  for (const name of ['', 'tmp', 'etc']) chownSync(join(root, name), 100_000, 100_000)
  const ids = [{ containerId: 0, hostId: 100_000, size: 1000 }]
  const box = await new Container()
    .rootfs(root)
    .mount(hostPrograms)
    .idMappings({ uid: ids, gid: ids })
    .create()
  t.teardown(() => box.delete())
  const from = scratch(t)
  writeFileSync(join(from, 'file'), 'x')
  chownSync(join(from, 'file'), 12, 34)
  await box.extract('/tmp/', tarOf(from, 'file'))
  await box.extract('/tmp/', stream(entry('made/file')))
  t.match(statSync(join(root, 'tmp/file')), { uid: 100_012, gid: 100_034 })
  t.match(statSync(join(root, 'tmp/made')), { uid: 100_000, gid: 100_000 })
  t.match(tar(['--numeric-owner', '-tvf', '-'], await bytesOf(box, '/tmp/file')), ' 12/34 ')
  chownSync(join(root, 'tmp/file'), 0, 0)
  t.match(tar(['--numeric-owner', '-tvf', '-'], await bytesOf(box, '/tmp/file')), ' 65534/65534 ')
  chownSync(join(from, 'file'), 2000, 0)
  await t.rejects(box.extract('/tmp', tarOf(from, 'file')), {
    code: 'EINVAL',
    message: /no id 2000/,
  })
})

t.test('stopped: a directory, an overlay with a layer, one in memory', needsRoot, async t => {
  const root = makeRoot(t)
  const layer = scratch(t)
  for (const name of ['upper', 'work']) mkdirSync(join(layer, name))
  const [upper, work] = [join(layer, 'upper'), join(layer, 'work')]
  const write = ['sh', '-c', 'echo hello > /tmp/file']
  for (const rootfs of [root, overlay({ lower: [makeRoot(t)], upper, work })]) {
    const box = await new Container().rootfs(rootfs).mount(hostPrograms).create()
    await runIn(box, write)
    t.equal(box.status, 'stopped')
    const before = traces()
    t.equal(tar(['-xOf', '-'], await bytesOf(box, '/tmp/file')), 'hello\n')
    await box.extract('/tmp', stream(entry('after', '0', { content: 'bye' })))
    t.equal(tar(['-tf', '-'], await bytesOf(box, '/tmp/after')), 'after\n')
    await t.rejects(bytesOf(box, '/no/such'), {
      code: 'ENOENT',
      path: '/no/such',
      message: 'archive /no/such: ENOENT',
    })
    for await (const _ of box.archive('/')) break
    t.ok(await until(() => traces().children.length === before.children.length))
    t.equal(traces().mounts, before.mounts)
    const early = box.archive('/tmp')
    await box.delete()
    await t.rejects(buffer(early), { code: 'ERR_STATE' })
    t.throws(() => box.archive('relative'), { code: 'ERR_INVALID_OPTION' })
    await t.rejects(bytesOf(box, '/tmp/file'), { code: 'ERR_STATE' })
    await t.rejects(box.extract('/tmp', stream()), { code: 'ERR_STATE' })
  }
  t.equal(readFileSync(join(root, 'tmp/after'), 'utf8'), 'bye')
  t.equal(readFileSync(join(upper, 'tmp/after'), 'utf8'), 'bye')

  const readonly = await new Container()
    .rootfs(root, { readonly: true })
    .mount(hostPrograms)
    .create()
  await t.rejects(readonly.extract('/tmp', stream(entry('x'))), { code: 'EROFS' })
  await runIn(readonly, ['true'])
  await t.rejects(readonly.extract('/tmp', stream(entry('x'))), { code: 'EROFS' })
  await readonly.delete()

  const memory = await overHost().create()
  await runIn(memory, write)
  await t.rejects(bytesOf(memory, '/tmp/file'), { code: 'ERR_STATE', hint: /upper/ })
  await memory.delete()
})

t.test('nothing is left behind', needsRoot, nothingLeft)
