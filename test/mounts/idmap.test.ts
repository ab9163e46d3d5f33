// Mounts on which files have other owners than on the disk.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attempt, type CofferdamError, Container, mounts, plan } from 'cofferdam'
import t from 'tap'
import { needsRoot, rememberTraces, scratch } from '../support/index.js'
import { bareRoot, inNamespace, look } from '../support/mounted.js'

const { bind } = mounts
const nothingLeft = await rememberTraces()
const bare = () => bareRoot(new Container())

const ids = (containerId: number, hostId: number, size = 10) => [{ containerId, hostId, size }]
const idmap = { uid: ids(1000, 0), gid: ids(2000, 0) }

/** A folder whose files are of 1003 and 2004. */
function owned(folder: string): string {
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'file'), '')
  mkdirSync(join(folder, 'other'))
  chownSync(join(folder, 'file'), 1003, 2004)
  chownSync(folder, 1000, 2000)
  return folder
}

const { call, named, slot, step } = plan
const CLOEXEC = named('O_CLOEXEC', 0o2000000)
const EMPTY = named('AT_EMPTY_PATH', 0x1000)

/** Whether the kernel maps owners in a mount of this folder; or of a new tmpfs, which it does since 6.3. */
async function needsIdmap(folder: string | undefined): Promise<{ skip?: string }> {
  if (needsRoot.skip) return needsRoot
  const [user, fs, tree] = [slot('user'), slot('fs'), slot('tree')]
  const NUMBER = 100 // the kernel is told the descriptor within a structure
  const attributes = Buffer.alloc(32) // struct mount_attr: set, clear, propagation, userns_fd
  attributes.writeBigUInt64LE(0x100000n, 0) // MOUNT_ATTR_IDMAP
  attributes.writeBigUInt64LE(BigInt(NUMBER), 24)
  const here = named('AT_FDCWD', -100)
  const clone = named('OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC', 0o2000001)
  const made =
    folder !== undefined
      ? [call('open_tree', [here, folder, clone], { result: tree })]
      : [
          call('fsopen', ['tmpfs', named('FSOPEN_CLOEXEC', 1)], { result: fs }),
          call('fsconfig', [fs, named('FSCONFIG_CMD_CREATE', 6), 0, 0, 0]),
          call('fsmount', [fs, named('FSMOUNT_CLOEXEC', 1), 0], { result: tree }),
        ]
  const other = spawn('unshare', ['--user', '--map-root-user', 'sh', '-c', 'echo; read x'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    await once(other.stdout, 'data')
    await attempt([
      step(
        'idmap',
        ...made,
        call('openat', [here, `/proc/${other.pid}/ns/user`, CLOEXEC], { result: user }),
        call('dup3', [user, NUMBER, CLOEXEC]),
        call('mount_setattr', [tree, '', EMPTY, { bytes: attributes, text: 'idmap' }, 32]),
      ),
    ])
    return {}
  } catch (error) {
    const { code, syscall } = error as CofferdamError
    if (code !== 'EINVAL' || syscall !== 'mount_setattr') throw error
    return { skip: `the file system of ${folder ?? 'a tmpfs'} maps no owners on this kernel` }
  } finally {
    other.stdin.end()
    await once(other, 'close')
  }
}

// Of these two are the folders below.
const needsFolder = await needsIdmap(tmpdir())
const needsTmpfs = await needsIdmap(undefined)

t.test('by ranges: other owners inside, those of the disk outside', needsFolder, async t => {
  const folder = owned(scratch(t))
  const { mounts: table, said } = await look(
    bare()
      .capabilities(['CHOWN', 'DAC_OVERRIDE', 'FOWNER'])
      .mount(bind(folder, '/m', { idmap })),
    'stat -c "%u %g" /m/file /m /m/other; touch /m/new; chgrp 1 /m/new; chown 20 /m/new',
  )
  // What is in no range belongs to nobody, and nobody can be made its owner.
  t.match(said, /^3 4\n0 0\n65534 65534\n.*(Value too large|Invalid argument|not permitted)/)
  t.ok(table.get('/m')?.options.includes('idmapped'))
  const made = statSync(join(folder, 'new'))
  t.same([made.uid, made.gid], [1000, 2001])
  t.equal(statSync(join(folder, 'file')).uid, 1003)
})

t.test('by a user namespace that there is', needsFolder, async t => {
  const folder = owned(scratch(t))
  const other = spawn('unshare', ['--user', '--map-root-user', 'sh', '-c', 'echo; read x'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    await once(other.stdout, 'data')
    writeFileSync(join(folder, 'mine'), '')
    chownSync(join(folder, 'mine'), 0, 1)
    const namespace = `/proc/${other.pid}/ns/user`
    const { said } = await look(
      bare().mount(bind(folder, '/m', { idmap: { namespace } })),
      'stat -c "%u %g" /m/mine /m/file',
    )
    t.equal(said, '0 65534\n65534 65534')
  } finally {
    other.stdin.end()
    await once(other, 'close')
  }
})

t.test('on file systems of several kinds, with submounts or without', needsTmpfs, async t => {
  const before = `
    mkdir $OWN/tmpfs $OWN/overlay $OWN/low $OWN/up $OWN/work
    mount -t tmpfs -o mode=755,uid=1001 none $OWN/tmpfs
    mkdir $OWN/tmpfs/sub; mount -t tmpfs -o mode=755,uid=1002 none $OWN/tmpfs/sub
    mount -t overlay -o lowerdir=$OWN/low,upperdir=$OWN/up,workdir=$OWN/work none $OWN/overlay
    chown 1003 $OWN/overlay`
  const said = inNamespace(
    t,
    before,
    `const ids = [{ containerId: 1000, hostId: 0, size: 10 }]
    const idmap = { uid: ids, gid: [{ containerId: 0, hostId: 7 }] }
    const stat = async (source, options) => {
      const builder = bareRoot(new Container()).mount(mounts.bind(process.env.OWN + source, '/m', options))
      try { console.log((await look(builder, 'stat -c "%u %g" /m /m/sub 2>/dev/null | tr "\\\\n" " "')).said) }
      catch ({ code, syscall, hint }) { console.log(code, syscall, hint !== undefined) }
    }
    await stat('/tmpfs', { idmap })
    await stat('/tmpfs', { idmap: { ...idmap, recursive: true } })
    await stat('/overlay', { idmap })`,
  )
  t.equal(said[0], '1 7 1002 0')
  t.equal(said[1], '1 7 2 7')
  t.match(
    said[2],
    /^3 7$|^EINVAL mount_setattr true$/,
    'overlayfs can do it or says that it can not',
  )
})

t.test('what can not do it says so, and bad maps are refused', needsRoot, async t => {
  await t.rejects(
    bare()
      .mount(bind('/proc/sys', '/m', { idmap }))
      .create(),
    {
      code: 'EINVAL',
      syscall: 'mount_setattr',
      hint: /file system/,
    },
  )
  const missing = { namespace: '/no/such' }
  await t.rejects(
    bare()
      .mount(bind('/usr', '/m', { idmap: missing }))
      .create(),
    { code: 'ENOENT' },
  )
  for (const wrong of [
    {},
    { uid: [], gid: [] },
    { ...idmap, namespace: '/x' },
    { uid: ids(-1, 0), gid: ids(0, 0) },
    'map',
  ])
    t.throws(() => bind('/usr', '/m', { idmap: wrong as never }), { code: 'ERR_INVALID_OPTION' })
})

t.test('one description, many containers', needsFolder, async t => {
  const folder = owned(scratch(t))
  const builder = bare().mount(bind(folder, '/m', { idmap }))
  const seen = await Promise.all(
    Array.from({ length: 4 }, () => look(builder, 'stat -c %u /m/file')),
  )
  t.same(
    seen.map(({ said }) => said),
    ['3', '3', '3', '3'],
  )
})

t.test('nothing is left behind', needsRoot, nothingLeft)
