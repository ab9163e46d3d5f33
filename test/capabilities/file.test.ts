import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { CofferdamError } from 'cofferdam'
import {
  type FileCapabilities,
  fileCapabilities,
  formatFileCapabilities,
  formatText,
  fromBits,
  lastCapability,
  parseFileCapabilities,
  removeFileCapabilities,
  setFileCapabilities,
} from 'cofferdam/capabilities'
import fc from 'fast-check'
import t from 'tap'
import { needsRoot, scratch } from '../support/index.js'

// A file's capabilities, compared with setcap and getcap.

const command = (...[file, ...args]: [string, ...string[]]) =>
  execFileSync(file, args, { encoding: 'utf8' })

const set = fc.bigInt(0n, (2n << BigInt(lastCapability())) - 1n).map(fromBits)
const capabilities: fc.Arbitrary<FileCapabilities> = fc.record(
  {
    permitted: set,
    inheritable: set,
    effective: fc.boolean(),
    rootId: fc.integer({ min: 1, max: 2 ** 31 - 1 }), // getcap takes larger ones for negative
  },
  { requiredKeys: ['permitted', 'inheritable', 'effective'] },
)

/** As libcap has them: in effect is what there is. */
function text({ permitted, inheritable, effective }: FileCapabilities): string {
  const both = [...permitted, ...inheritable]
  return formatText({ permitted, inheritable, effective: effective ? both : [] })
}

t.test('written, and found by getcap; written by setcap, and found', needsRoot, async t => {
  const file = join(scratch(t), 'program')
  writeFileSync(file, '')
  fc.assert(
    fc.property(capabilities, own => {
      setFileCapabilities(file, own)
      t.same(fileCapabilities(file), own)
      const root = own.rootId === undefined ? '' : ` [rootid=${own.rootId}]`
      t.equal(command('getcap', '-n', file).trim(), `${file} ${text(own)}${root}`)
      removeFileCapabilities(file)
      t.equal(command('getcap', '-n', file), '')

      // libcap has one effective bit too, so what has none can't be in effect.
      const options = own.rootId === undefined ? [] : ['-n', `${own.rootId}`]
      command('setcap', ...options, text(own), file)
      const found = fileCapabilities(file)
      const empty = own.permitted.length + own.inheritable.length === 0
      t.same(found, empty ? { ...own, effective: false } : own)
    }),
    { numRuns: 60 },
  )
})

t.test('files that have none', needsRoot, async t => {
  const folder = scratch(t)
  const file = join(folder, 'program')
  writeFileSync(file, '')
  t.equal(fileCapabilities(file), undefined)
  removeFileCapabilities(file) // that it had none is no error
  t.equal(fileCapabilities('/proc/self/status'), undefined, 'no file system for it')
  const proc = () => setFileCapabilities('/proc/self/status', { permitted: ['CHOWN'] })
  t.throws(proc, { code: 'EOPNOTSUPP', syscall: 'setxattr', path: '/proc/self/status' })
  chmodSync(file, 0)
  setFileCapabilities(file, { permitted: ['CHOWN'], effective: true })
  t.match(fileCapabilities(file), { permitted: ['CHOWN'] }, 'it need not be readable')
  setFileCapabilities(file, { rootId: 2 ** 32 - 2 })
  t.match(fileCapabilities(file), { permitted: [], rootId: 2 ** 32 - 2 }, 'none, but of a root')
  writeFileSync(file, 'changed')
  t.equal(fileCapabilities(file), undefined, 'the kernel takes them from what is written to')
})

t.test('links are followed only when asked', needsRoot, async t => {
  const folder = scratch(t)
  const [file, link] = [join(folder, 'program'), join(folder, 'link')]
  writeFileSync(file, '')
  symlinkSync('program', link)
  const own = { permitted: ['KILL'], inheritable: [], effective: false } as FileCapabilities
  const refused = { code: 'ELOOP', path: link }
  t.throws(() => setFileCapabilities(link, own), refused)
  t.throws(() => fileCapabilities(link), refused)
  t.throws(() => removeFileCapabilities(link), refused)
  t.equal(fileCapabilities(file), undefined)
  setFileCapabilities(link, own, { follow: true })
  t.same(fileCapabilities(file), own)
  t.same(fileCapabilities(link, { follow: true }), own)
  removeFileCapabilities(link, { follow: true })
  t.equal(fileCapabilities(file), undefined)
})

t.test('by a descriptor', needsRoot, async t => {
  const file = join(scratch(t), 'program')
  writeFileSync(file, '')
  const O_PATH = 0o10000000
  for (const flags of [constants.O_RDONLY, O_PATH]) {
    const fd = openSync(file, flags)
    const own = { permitted: ['KILL'], inheritable: [], effective: true } as FileCapabilities
    setFileCapabilities(fd, own)
    t.same(fileCapabilities(fd), own)
    t.same(fileCapabilities(file), own)
    removeFileCapabilities(fd)
    t.equal(fileCapabilities(file), undefined)
    t.equal(fstatSync(fd).size, 0, 'it is still open')
    closeSync(fd)
    t.throws(() => fileCapabilities(fd), { code: 'EBADF', syscall: 'fstat' })
  }
  for (const wrong of [-1, 0.5, 2 ** 31, Number.NaN, undefined, '', 'a\0b'])
    t.throws(() => fileCapabilities(wrong as string), {
      code: 'ERR_INVALID_OPTION',
      option: 'file',
    })
})

t.test('what is refused', needsRoot, async t => {
  const folder = scratch(t)
  const file = join(folder, 'program')
  writeFileSync(file, '')
  t.throws(() => fileCapabilities(join(folder, 'none')), { code: 'ENOENT', syscall: 'open' })
  t.throws(() => fileCapabilities(folder), { code: 'EFTYPE', path: folder })
  execFileSync('mkfifo', [join(folder, 'fifo')]) // opening it would wait
  t.throws(() => fileCapabilities(join(folder, 'fifo')), { code: 'EFTYPE' })
  for (const [own, option] of [
    [{ permitted: ['FLY'] }, 'capabilities.permitted'],
    [{ inheritable: 'CHOWN' }, 'capabilities.inheritable'],
    [{ effective: 1 }, 'capabilities.effective'],
    [{ rootId: -1 }, 'capabilities.rootId'],
    [{ rootId: 2 ** 32 - 1 }, 'capabilities.rootId'],
    [{ ambient: [] }, 'capabilities.ambient'],
    ['cap_chown=ep', 'capabilities'],
  ] as const) {
    const error = { code: 'ERR_INVALID_OPTION', option }
    t.throws(() => setFileCapabilities(file, own as object), error)
  }
  t.throws(() => fileCapabilities(file, { fellow: true } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'options.fellow',
  })
  t.equal(fileCapabilities(file), undefined, 'and nothing is done')
})

t.test('in a user namespace they are for its root', needsRoot, async t => {
  const folder = scratch(t)
  chmodSync(folder, 0o777)
  const script = `
    const { fileCapabilities, setFileCapabilities } = await import('cofferdam/capabilities')
    const { writeFileSync } = await import('node:fs')
    writeFileSync('${folder}/own', '')
    const capabilities = { permitted: ['CHOWN'], inheritable: [], effective: true }
    setFileCapabilities('${folder}/own', capabilities)
    const told = path => { try { return fileCapabilities(path) } catch (error) { return error.code } }
    console.log(JSON.stringify([told('${folder}/own'), told('${folder}/foreign')]))`
  writeFileSync(join(folder, 'foreign'), '')
  setFileCapabilities(join(folder, 'foreign'), { permitted: ['KILL'], rootId: 77 })
  const printed = command(
    'setpriv',
    '--reuid=61234',
    '--regid=61234',
    '--clear-groups',
    'unshare',
    '-Ur',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  )
  const own = { permitted: ['CHOWN'], inheritable: [], effective: true }
  t.same(JSON.parse(printed), [own, 'EOVERFLOW'])
  t.same(fileCapabilities(join(folder, 'own')), { ...own, rootId: 61_234 }, 'from outside')
})

t.test('all versions of the attribute', async t => {
  const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
  const low = { permitted: ['CHOWN', 'SETFCAP'], inheritable: ['KILL'] }
  t.same(parseFileCapabilities(hex('00000001 01000080 20000000')), { ...low, effective: false })
  const second = '01000002 01000080 20000000 00010000 00000000'
  const wide: FileCapabilities = {
    permitted: ['CHOWN', 'SETFCAP', 'CHECKPOINT_RESTORE'],
    inheritable: ['KILL'],
    effective: true,
  }
  t.same(parseFileCapabilities(hex(second)), wide)
  t.same(formatFileCapabilities(wide), hex(second))
  const third = hex(`${second.replace('01000002', '01000003')} a0860100`)
  t.same(parseFileCapabilities(third), { ...wide, rootId: 100_000 })
  t.same(formatFileCapabilities({ ...wide, rootId: 100_000 }), third)
})

t.test('any bytes are read or refused', async t => {
  const header = fc.constantFrom(0x01, 0x02, 0x03, 0x04).map(version => [1, 0, 0, version])
  const sized = fc
    .tuple(header, fc.constantFrom(0, 8, 16, 20))
    .chain(([start, length]) =>
      fc
        .uint8Array({ minLength: length, maxLength: length })
        .map(rest => Uint8Array.from([...start, ...rest])),
    )
  let read = 0
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), sized), bytes => {
      let own: FileCapabilities
      try {
        own = parseFileCapabilities(bytes)
      } catch (error) {
        return error instanceof CofferdamError && error.code === 'EBADMSG'
      }
      read++
      if (own.rootId === 2 ** 32 - 1) return true
      t.same(parseFileCapabilities(formatFileCapabilities(own)), own)
      return true
    }),
    { numRuns: 1000 },
  )
  t.ok(read > 50)
})
