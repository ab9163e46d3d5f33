import {
  type ProcessOptions,
  parseUser,
  plainKey,
  processOptions,
  specificationKey,
  specifyProcess,
} from 'cofferdam/process'
import fc from 'fast-check'
import t from 'tap'
import { hostnamePlaceholder } from '#lib/namespaces/index.js'

const hostname = hostnamePlaceholder('HOSTNAME=')
const specify = (argv: readonly string[], options: ProcessOptions) =>
  specifyProcess(argv, options, hostname)
const keyOf = (options: ProcessOptions, argv = ['true']) => specificationKey(specify(argv, options))

/** For each option, values of which something different comes. */
const values: { [K in keyof ProcessOptions]-?: readonly ProcessOptions[K][] } = {
  env: [{}, { A: '1' }, { A: '1', B: '' }, { A: '1\nB=' }, { HOSTNAME: '' }, { HOME: undefined }],
  cwd: ['/', '/a', '/a ', '/0 0'],
  user: [0, 1, '0:1', 'undefined', { uid: 0, groups: [1] }, { uid: 0, groups: [1, 1] }, 'a:b'],
  umask: [0, 0o22, 0o777],
  init: [false, true],
  terminal: [false, true, { rows: 1 }, { columns: 1 }],
  rlimits: [
    {},
    { nofile: 1 },
    { nofile: 11 },
    { nproc: 1 },
    { nofile: { soft: 1, hard: 'unlimited' } },
    { nofile: 'unlimited' },
    { nofile: 1, nproc: 1 },
    { nproc: 1, nofile: 1 }, // the first one that fails is the error
    { core: 2 ** 53 - 1 },
  ],
  oomScoreAdjust: [0, 1, -1],
  nice: [0, 1, -1],
  scheduler: [
    { policy: 'other' },
    { policy: 'batch' },
    { policy: 'batch', nice: 0 },
    { policy: 'batch', flags: ['reset-on-fork'] },
    { policy: 'fifo', priority: 1 },
    { policy: 'fifo', priority: 11 },
    { policy: 'deadline', runtime: 1, deadline: 2 },
    { policy: 'deadline', runtime: 1, deadline: 2, period: 2 },
    { policy: 'deadline', runtime: 1.000001, deadline: 2 },
  ],
  ioPriority: [{ class: 'idle' }, { class: 'best-effort' }, { class: 'best-effort', level: 0 }],
  affinity: ['0', '0,1', { setup: '0' }, { workload: '0', setup: '0' }, '10'],
  memoryPolicy: [
    { mode: 'local' },
    { mode: 'default' },
    { mode: 'bind', nodes: '0' },
    { mode: 'bind', nodes: '0', flags: ['static-nodes'] },
  ],
  personality: [{}, { domain: 'linux32' }, { flags: ['uname26'] }],
  keyring: ['new', 'inherit', { name: 'new' }, { name: '"' }, { name: '\\"' }],
  parentDeathSignal: ['none', 'SIGTERM', 'SIGKILL'],
}

t.test('what is not the same has not the same key', async t => {
  t.same(Object.keys(values).sort(), [...processOptions].sort(), 'all options are looked at')
  for (const name of processOptions) {
    const keys = values[name].map(value => keyOf({ [name]: value }))
    t.equal(new Set(keys).size, keys.length, name)
  }
})

t.test('what is the same, in whichever way it is written, has the same', async t => {
  const same: [ProcessOptions, ProcessOptions][] = [
    [{ rlimits: { RLIMIT_AS: '1KiB' } }, { rlimits: { as: { soft: 1024, hard: 1024 } } }],
    [{ affinity: '0-2' }, { affinity: [2, 1, 0] }],
    [{ user: '1:2' }, { user: { uid: 1, gid: '2' } }],
    [{ nice: 0 }, { nice: -0 }],
    [{ terminal: true }, { terminal: { rows: 24 } }],
    [{ env: { A: undefined }, cwd: '/' }, {}],
  ]
  for (const [one, other] of same) t.equal(keyOf(one), keyOf(other))
})

t.test('any two requests have the same key only if the same comes of them', async () => {
  const word = fc.string({
    unit: fc.constantFrom('a', '=', ' ', '0', '"', ',', '\n'),
    maxLength: 4,
  })
  const argv = fc.array(word, { minLength: 1, maxLength: 3 }).filter(([program]) => program !== '')
  const env = fc.dictionary(
    word.filter(name => /^[^=]+$/.test(name)),
    fc.option(word, { nil: undefined }),
    { maxKeys: 3 },
  )
  const choices = Object.fromEntries(
    processOptions.map(name => [name, fc.constantFrom(...(values[name] as readonly unknown[]))]),
  )
  const options = fc.record(
    { ...choices, env, cwd: word.map(text => `/${text}`) },
    { requiredKeys: [] },
  ) as fc.Arbitrary<ProcessOptions>
  const valid = options.filter(({ nice, scheduler }) => !(nice !== undefined && scheduler))
  const request = fc.tuple(argv, valid)
  const text = (specification: unknown) =>
    JSON.stringify(specification, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
  fc.assert(
    fc.property(request, request, ([one, first], [other, second]) => {
      const [a, b] = [specify(one, first), specify(other, second)]
      return (specificationKey(a) === specificationKey(b)) === (text(a) === text(b))
    }),
    { numRuns: 3000 },
  )
})

t.test('what is said plainly has a key that tells it from all else, wrong things too', async t => {
  const word = fc.constantFrom('', 'a', 'a\0a', '1', 'cwd')
  const value = fc.oneof(word, fc.constantFrom(0, 1, Number.NaN, null))
  const argv = fc.oneof(word, fc.array(value, { maxLength: 2 }))
  const env = fc.dictionary(word, value, { maxKeys: 1, noNullPrototype: true })
  const options = fc.record({ env, cwd: value, umask: value, user: value }, { requiredKeys: [] })
  const request = fc.tuple(argv, options) as unknown as fc.Arbitrary<[string[], ProcessOptions]>
  const said = ([argv, { env = {}, ...rest }]: [string[], ProcessOptions]) =>
    JSON.stringify([argv, Object.entries(env), rest.cwd, rest.umask, rest.user])
  const texts = new Map<string, string>()
  fc.assert(
    fc.property(request, one => {
      const key = plainKey(...one)
      if (key === undefined) return true
      const text = texts.get(key) ?? said(one)
      texts.set(key, text)
      return text === said(one)
    }),
    { numRuns: 20_000 },
  )
  t.ok(texts.size > 100)
  t.equal(typeof plainKey(['x', 'y'], { env: { A: '1' }, cwd: '/', umask: 0, user: 'a' }), 'string')
  for (const [name, known] of Object.entries(values))
    for (const value of known)
      if (typeof value === 'object' && name !== 'env')
        t.equal(plainKey(['x'], { [name]: value }), undefined, name)
})

t.test('what the caller changes later changes nothing', async t => {
  const groups = [1]
  const argv = ['true']
  const user = { uid: 0, groups }
  const specification = specify(argv, { user, affinity: groups })
  const key = specificationKey(specification)
  groups.push(2)
  argv.push('x')
  t.equal(specificationKey(specification), key)
  t.same(parseUser(user).groups, [1, 2])
})

t.test('arguments and variables that are none', async t => {
  for (const argv of [[], [''], ['a', undefined], new Array(2), ['a\0'], 'a', null, { 0: 'a' }])
    t.throws(() => specify(argv as string[], {}), { option: 'argv' } as never)
  const sparse = ['a', 'b', 'c']
  delete sparse[1]
  t.throws(() => specify(sparse, {}), { option: 'argv' } as never)
  const env = JSON.parse('{ "__proto__": "x" }')
  t.ok(specify(['true'], { env }).env.includes('__proto__=x'), 'any name is one')
})
