import { execFileSync } from 'node:child_process'
import { type CofferdamError, mounts } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { decodeStatMount } from '#lib/mounts/statmount-decode.js'
import { needsRoot } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'

/** Linux before 6.8 has neither call, and says so. */
const missing = (() => {
  try {
    mounts.listmount()
    return undefined
  } catch (error) {
    return error as CofferdamError
  }
})()
const needsStatmount =
  missing === undefined ? needsRoot : { skip: `this kernel has no statmount(2): ${missing.code}` }

t.test('a kernel that has no such calls says so', async t => {
  if (missing === undefined) {
    t.ok(mounts.listmount().length > 0)
    return
  }
  for (const call of [mounts.listmount, () => mounts.statmount(1n), () => mounts.mountNumber('/')])
    t.throws(call, { code: 'ERR_UNSUPPORTED', errno: 38, hint: /6\.8/ })
})

/** Number of a process's mount namespace; ioctl_nsfs(2) NS_GET_MNTNS_ID, asked by perl. */
const namespaceOf = (pid: number | 'self') =>
  BigInt(
    execFileSync(
      'perl',
      [
        '-e',
        'open F, "<", $ARGV[0]; $b = "\\0" x 8; ioctl(F, 0x8008b705, $b) || die $!; print unpack "Q", $b',
        `/proc/${pid}/ns/mnt`,
      ],
      { encoding: 'utf8' },
    ),
  )

/** What both have of a mount. */
function common(mount: mounts.StatMount) {
  const { oldId, oldParent, major, minor, root, mountPoint, options, propagation } = mount
  const { fsType, fsSubtype, source, superFlags, superOptions } = mount
  const flags = [
    (superFlags & 1) === 0 ? 'rw' : 'ro',
    superFlags & 16 ? 'sync' : [],
    superFlags & 128 ? 'dirsync' : [],
    superFlags & (1 << 25) ? 'lazytime' : [],
  ]
  return {
    id: oldId,
    parent: oldParent,
    major,
    minor,
    root,
    mountPoint,
    options,
    propagation,
    fsType: [fsType, fsSubtype ?? []].flat().join('.'),
    source,
    superOptions: [...flags, superOptions ?? []].flat().join(),
  }
}

const byId = (a: { id: number }, b: { id: number }) => a.id - b.id

const SCRIPT = `mkdir shared slave both unbindable 'a b' "$(printf 'bad\\377')"
  mount -t tmpfs -o nosuid,nodev,noexec,noatime,sync tmpfs shared; mount --make-shared shared
  mount --bind shared slave; mount --make-slave slave; mount -o remount,bind,ro,nodiratime slave
  mount --bind slave both; mount --make-shared both
  mkdir shared/sub; mount --bind shared/sub unbindable; mount --make-unbindable unbindable
  mount -t tmpfs -o strictatime,size=64k 'so urce#\\1' 'a b'; mount -t tmpfs -o ro bad "$(printf 'bad\\377')"
  mkdir lower 'lo,wer' upper work merged
  mount -t overlay -o 'lowerdir=lower:lo\\,wer,upperdir=upper,workdir=work' overlay merged`

t.test('the same as mountinfo, mount by mount', needsStatmount, async t => {
  const own = mounts.listmount().map(id => common(mounts.statmount(id)))
  t.strictSame(own.sort(byId), (await mounts.list()).sort(byId))

  const { pid, folder, sh } = await mountNamespace(t)
  await sh(SCRIPT)
  const namespace = namespaceOf(pid)
  const numbers = mounts.listmount(mounts.ROOT, { namespace })
  const found = numbers.map(id => mounts.statmount(id, { namespace }))
  const list = await mounts.list(pid)
  t.strictSame(found.map(common).sort(byId), list.sort(byId))
  t.equal(list.filter(({ mountPoint }) => mountPoint.startsWith(folder)).length, 7)
  for (const { namespace: of, id, parent } of found) {
    t.equal(of, namespace)
    t.not(id, parent)
  }

  const overlay = found.find(({ fsType }) => fsType === 'overlay')
  t.match(overlay?.superOptions, /lower.*lo.*wer.*,upperdir=upper,workdir=work/)
  t.match(overlay?.optionList?.join('\n'), /^lowerdir.*lo.*,wer$/m)
  t.equal(overlay?.magic, 0x794c7630n)
  t.equal((overlay?.supported ?? 0n) & 7n, 7n)
})

t.test('below one, and the other way round', needsStatmount, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh(
    'mkdir a; mount -t tmpfs a a; mkdir a/b a/c; mount -t tmpfs b a/b; mount -t tmpfs c a/c; mkdir a/b/d; mount -t tmpfs d a/b/d',
  )
  const namespace = namespaceOf(pid)
  const all = mounts.listmount(undefined, { namespace })
  t.strictSame(mounts.listmount(mounts.ROOT, { namespace, reverse: true }), [...all].reverse())
  const at = (name: string) =>
    all.find(id => mounts.statmount(id, { namespace }).mountPoint === `${folder}/${name}`) ?? 0n
  t.strictSame(mounts.listmount(at('a'), { namespace }), ['a/b', 'a/c', 'a/b/d'].map(at))
  t.equal(mounts.statmount(at('a/b/d'), { namespace }).parent, at('a/b'))
  // Elsewhere they are not.
  t.throws(() => mounts.statmount(at('a')), { code: 'ENOENT', syscall: 'statmount' })
  t.throws(() => mounts.listmount(at('a')), { code: 'ENOENT', syscall: 'listmount' })
  t.throws(() => mounts.statmount(at('a'), { namespace: 1n }), { code: 'ENOENT' })
})

t.test(
  'more mounts than fit one call, and options longer than a buffer',
  needsStatmount,
  async t => {
    const { pid, sh } = await mountNamespace(t)
    await sh(
      'mkdir many; mount -t tmpfs many many; for i in $(seq 600); do mkdir many/$i; mount --bind many/$i many/$i; done',
    )
    const namespace = namespaceOf(pid)
    const numbers = mounts.listmount(mounts.ROOT, { namespace })
    t.equal(numbers.length, (await mounts.list(pid)).length)
    t.equal(new Set(numbers).size, numbers.length)
    t.strictSame(
      mounts.listmount(mounts.ROOT, { namespace, reverse: true }),
      [...numbers].reverse(),
    )

    const layers = Array.from({ length: 15 }, (_, i) => `${i}`.padStart(200, 'x'))
    await sh(`mkdir ${layers.join(' ')} upper work merged
    mount -t overlay -o lowerdir=${layers.join(':')},upperdir=upper,workdir=work long merged`)
    const [last] = mounts.listmount(mounts.ROOT, { namespace, reverse: true })
    const { source, superOptions, optionList } = mounts.statmount(last as bigint, { namespace })
    t.equal(source, 'long')
    t.ok((superOptions ?? '').length > 3000)
    t.ok((superOptions ?? '').length + (optionList ?? []).join().length > 4096)
    for (const layer of layers) t.match(superOptions, layer)
  },
)

t.test('the number of the mount that a path is on', needsStatmount, async t => {
  const list = await mounts.list()
  for (const path of ['/', '/proc', '/dev/null', '/etc/passwd'])
    t.equal(mounts.statmount(mounts.mountNumber(path)).oldId, mounts.find(list, path)?.id, path)
  t.throws(() => mounts.mountNumber('/none'), { code: 'ENOENT', syscall: 'statx', path: '/none' })
})

t.test('an idmapped mount has its maps', needsStatmount, async t => {
  const { pid, sh } = await mountNamespace(t)
  await sh(`mkdir from to; mount -t tmpfs from from
    unshare --user sleep 60 & user=$!
    until [ "$(readlink /proc/$user/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do :; done
    printf '0 100000 1000\n5000 7 1\n' > /proc/$user/uid_map; echo 0 200000 9 > /proc/$user/gid_map
    perl -e 'open U, "<", $ARGV[0]; $u = fileno(U); $e = "";
      ($from, $to) = ("from", "to"); $attr = pack("QQQQ", 0x100000, 0, 0, $u);
      ($tree = syscall(428, -100, $from, 0x80001)) >= 0 or die "open_tree: $!";
      syscall(442, $tree, $e, 0x1000, $attr, 32) == 0 or die "mount_setattr: $!";
      syscall(429, $tree, $e, -100, $to, 4) == 0 or die "move_mount: $!"' /proc/$user/ns/user
    kill $user`)
  const namespace = namespaceOf(pid)
  const all = mounts.listmount(mounts.ROOT, { namespace })
  const [to, from] = [-1, -2].map(i => mounts.statmount(all.at(i) as bigint, { namespace }))
  t.equal(to?.options, 'rw,relatime,idmapped')
  t.strictSame(to?.uidMappings, [
    { containerId: 0, hostId: 100_000, size: 1000 },
    { containerId: 5000, hostId: 7, size: 1 },
  ])
  t.strictSame(to?.gidMappings, [{ containerId: 0, hostId: 200_000, size: 9 }])
  t.equal(from?.uidMappings, undefined)
  t.equal((await mounts.list(pid)).find(({ id }) => id === to?.oldId)?.options, to?.options)
})

t.test('what can’t be', async t => {
  for (const bad of [1, -1n, 2n ** 64n, '1', null])
    t.throws(() => mounts.statmount(bad as bigint), { code: 'ERR_INVALID_OPTION', option: 'id' })
  t.throws(() => mounts.listmount(-1n), { code: 'ERR_INVALID_OPTION', option: 'below' })
  t.throws(() => mounts.listmount(mounts.ROOT, { namespace: 4 as unknown as bigint }), {
    code: 'ERR_INVALID_OPTION',
    option: 'listmount.namespace',
  })
  t.throws(() => mounts.listmount(mounts.ROOT, { reverse: 1 as unknown as boolean }), {
    code: 'ERR_INVALID_OPTION',
    option: 'listmount.reverse',
  })
  t.throws(() => mounts.statmount(1n, { no: 1 } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'statmount.no',
  })
  t.throws(() => mounts.mountNumber(''), { code: 'ERR_INVALID_OPTION', option: 'path' })
})

t.test('any bytes are decoded', async () => {
  const words = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 511, 512, 2 ** 32 - 1), fc.nat(2000)), {
    maxLength: 140,
  })
  const number = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  fc.assert(
    fc.property(words, fc.uint8Array({ maxLength: 700 }), number, (head, tail, mask) => {
      const bytes = new Uint8Array(head.length * 4 + tail.length)
      bytes.set(new Uint8Array(Uint32Array.from(head).buffer))
      bytes.set(tail, head.length * 4)
      if (bytes.length > 16) new DataView(bytes.buffer).setBigUint64(8, mask, true)
      const { id, options } = decodeStatMount(bytes)
      if (typeof id !== 'bigint' || !/^r[ow]/.test(options)) throw new Error('is none')
    }),
  )
})
