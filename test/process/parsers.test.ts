import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import {
  affinityOf,
  attributeOptions,
  findUser,
  formatList,
  limitsOf,
  oomScoreAdjustOf,
  parseAttributes,
  parseLimits,
  parseLimitsText,
  parseList,
  parseSchedulingText,
  schedulingOf,
} from 'cofferdam/process'
import fc from 'fast-check'
import t from 'tap'

const numbers = fc
  .uniqueArray(fc.nat(8191), { minLength: 1 })
  .map(list => list.sort((a, b) => a - b))

/** A value, or an error of the family that names the option. */
function typed(run: () => unknown): boolean {
  try {
    run()
    return true
  } catch (error) {
    const { name, code } = error as { name: string; code: string }
    return name === 'CofferdamError' && /^ERR_(INVALID_OPTION|CONFLICT)$/.test(code)
  }
}

t.test('lists of processors', async t => {
  t.same(parseList('x', '0-3,7'), [0, 1, 2, 3, 7])
  t.same(parseList('x', '7,1-2,2,0'), [0, 1, 2, 7])
  t.same(parseList('x', [5, 5, 1]), [1, 5])
  fc.assert(
    fc.property(numbers, list => {
      t.same(parseList('x', formatList(list)), list)
      t.same(parseList('x', list), list)
    }),
  )
  fc.assert(fc.property(fc.anything(), what => typed(() => parseList('x', what as string))))
  const texts = fc.string({ unit: fc.constantFrom('0', '1', '9', ',', '-', ' ', ':', 'x', '\n') })
  fc.assert(
    fc.property(texts, text => typed(() => parseList('x', text))),
    { numRuns: 2000 },
  )
})

t.test('lists mean what taskset takes them for', async () => {
  // What it makes of one it shows of itself: no processor is there but the first ones.
  const pieces = fc.array(fc.constantFrom('0', '1', '0-1', '1-1', '0-0'), {
    minLength: 1,
    maxLength: 4,
  })
  const cpus = affinityOf('self')
  fc.assert(
    fc.property(pieces, parts => {
      const text = parts.join(',')
      const ours = parseList('x', text).filter(cpu => cpus.includes(cpu))
      const script = 'grep ^Cpus_allowed_list /proc/self/status'
      const { stdout, status } = spawnSync('taskset', ['-c', text, 'sh', '-c', script], {
        encoding: 'utf8',
      })
      if (status !== 0) return ours.length === 0
      return stdout.trim().split('\t')[1] === formatList(ours)
    }),
    { numRuns: 20 },
  )
})

t.test('limits: any value is taken or refused', async t => {
  t.same(parseLimits('rlimits', { RLIMIT_AS: '1GiB', nofile: { soft: 1, hard: 'unlimited' } }), [
    { resource: 'as', soft: 2 ** 30, hard: 2 ** 30 },
    { resource: 'nofile', soft: 1, hard: undefined },
  ])
  const values = fc.oneof(
    fc.anything(),
    fc.record({ soft: fc.anything(), hard: fc.anything() }),
    fc.integer(),
    fc.constantFrom('unlimited', '1MiB', '-1', '1e3'),
  )
  const keys = fc.constantFrom('nofile', 'RLIMIT_AS', 'cpu', 'toString', '__proto__', 'RLIMIT_x')
  fc.assert(
    fc.property(fc.dictionary(keys, values), limits =>
      typed(() => parseLimits('rlimits', limits as never)),
    ),
    { numRuns: 1000 },
  )
})

t.test('attributes: any value is taken or refused', async () => {
  const words = ['policy', 'mode', 'nodes', 'class', 'level', 'flags', 'domain', 'name', 'setup']
  const values = fc.constantFrom('batch', 'deadline', 'bind', 'idle', '0-3', 'linux32', 'SIGTERM')
  const some = fc.oneof(
    fc.anything(),
    values,
    fc.dictionary(fc.constantFrom(...words, 'runtime'), fc.oneof(fc.anything(), values)),
  )
  for (const name of attributeOptions)
    fc.assert(fc.property(some, value => typed(() => parseAttributes({ [name]: value }))))
})

t.test('the texts of proc: any is read, none is believed', async t => {
  const file = readFileSync('/proc/self/limits', 'utf8')
  t.equal(Object.keys(parseLimitsText(file)).length, 16)
  for (const [name, { soft, hard }] of Object.entries(limitsOf('self'))) {
    const args = [
      '--noheadings',
      '--raw',
      '--output=SOFT,HARD',
      `--${name}`,
      `--pid=${process.pid}`,
    ]
    const printed = execFileSync('prlimit', args, { encoding: 'utf8' })
    t.equal(printed.trim(), `${soft} ${hard}`, name)
  }
  t.same(
    parseLimitsText('Max open files            18446744073709551614 unlimited files \nMax x 1 2 y'),
    {
      nofile: { soft: 18446744073709551614n, hard: 'unlimited' },
    },
  )
  const stat = readFileSync('/proc/self/stat', 'utf8')
  t.same(parseSchedulingText(stat), schedulingOf('self'))
  t.same(parseSchedulingText(stat.replace(/\(.*\)/, '(a) R 1 (\n)')), schedulingOf('self'))
  t.equal(parseSchedulingText('1 (x) S 2'), undefined)
  // Real ones with bits exchanged, and rubbish.
  const garbled = (text: string) =>
    fc
      .array(fc.tuple(fc.nat(text.length), fc.string({ maxLength: 3 })), { maxLength: 5 })
      .map(edits =>
        edits.reduce((all, [at, put]) => all.slice(0, at) + put + all.slice(at + 1), text),
      )
  fc.assert(fc.property(fc.oneof(garbled(file), fc.string()), text => !!parseLimitsText(text)))
  fc.assert(
    fc.property(fc.oneof(garbled(stat), fc.string()), text => {
      const found = parseSchedulingText(text)
      return found === undefined || Number.isInteger(found.nice)
    }),
  )
})

t.test('reading of what there is not', async t => {
  for (const read of [limitsOf, schedulingOf, affinityOf, oomScoreAdjustOf]) {
    t.throws(() => read(2 ** 30), { name: 'CofferdamError', code: 'ESRCH' } as never)
    for (const wrong of [-1, 0, 1.5, '1/../2', Number.NaN])
      t.throws(() => read(wrong as number), { code: 'ERR_INVALID_OPTION', option: 'pid' } as never)
  }
})

t.test('passwd and group: any text, a user of it or a typed error', async t => {
  const passwd =
    'www:x:33:44::/srv:/bin/sh\nfar:x:4294967295:0::/:\nwide:x:5:99999999999::/:\nbad:x:1:y::/:\n'
  const group = 'adm:x:4:www\nhuge:x:4294967295:www\nempty:x:9:\nstaff:x:50:other,www\n'
  const find = (user: Parameters<typeof findUser>[0]) => findUser(user, passwd, group)
  t.same(find('www'), { uid: 33, gid: 44, groups: [4, 50], home: '/srv' })
  t.same(find({ uid: 'www' }), { uid: 33, gid: 44, groups: [4, 50], home: '/srv' })
  t.same(find({ uid: 'www', gid: 'adm' }), { uid: 33, gid: 4, groups: [], home: '/srv' })
  t.same(find({ uid: 'www', groups: ['staff', 7, '8'] }), {
    uid: 33,
    gid: 44,
    groups: [50, 7, 8],
    home: '/srv',
  })
  t.same(find({ uid: 33, groups: ['adm'] }), { uid: 33, gid: 0, groups: [4], home: undefined })
  t.same(find({ uid: '6', gid: 'empty' }), { uid: 6, gid: 9, groups: [], home: undefined })
  for (const name of ['far', 'wide', 'bad'])
    t.throws(() => find(name), { code: 'ERR_INVALID_OPTION', option: 'user' } as never, name)
  t.throws(() => find({ uid: 'www', gid: 'huge' }), { option: 'user.gid' } as never)
  t.throws(() => find({ uid: 0, groups: ['nobody'] }), { option: 'user.groups' } as never)

  const word = fc.string({
    unit: fc.constantFrom('a', 'w', '0', '9', ':', '-', ' ', ',', '\n', ''),
  })
  const lines = fc
    .array(fc.tuple(word, word, word), { maxLength: 6 })
    .map(all => all.map(([name, id, rest]) => `${name}:x:${id}:${rest}:::`).join('\n'))
  const user = fc.oneof(
    word,
    fc.nat(),
    fc.record({ uid: word, gid: fc.option(word, { nil: undefined }), groups: fc.array(word) }),
  )
  fc.assert(
    fc.property(user, lines, lines, (who, one, other) =>
      typed(() => {
        const { uid, gid, groups } = findUser(who as never, one, other)
        for (const id of [uid, gid, ...groups])
          if (!Number.isInteger(id) || id < 0 || id > 0xfffffffe) throw new Error(`${id}`)
      }),
    ),
    { numRuns: 3000 },
  )
})
