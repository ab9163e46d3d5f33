import { chmodSync, chownSync, copyFileSync, mkdirSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import { bind, Container, plan } from 'cofferdam'
import {
  afterExec,
  type CapabilityName,
  capabilitySets,
  clearAmbient,
  type ExecutedCapabilities,
  type ExecutedFile,
  type FileCapabilities,
  parseStatus,
  raiseAmbient,
  type Securebit,
  securebitsStep,
  setFileCapabilities,
  toBits,
} from 'cofferdam/capabilities'
import fc from 'fast-check'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  runIn,
  scratch,
} from '../support/index.js'

// What execve(2) yields, computed and asked for: a process is given a state, executes
// a program with privileges of its own, and that prints what it then has.

const nothingLeft = await rememberTraces()
const { call, dropBounding, named, step } = plan

// Few enough that they meet one another often.
const some = ['CHOWN', 'KILL', 'SETUID', 'NET_RAW', 'CHECKPOINT_RESTORE'] as const
const USER = 1000
const GROUP = 2000

interface Case {
  bounding: CapabilityName[]
  inheritable: CapabilityName[]
  permitted: CapabilityName[]
  effective: CapabilityName[]
  ambient: CapabilityName[]
  securebits: Securebit[]
  noNewPrivileges: boolean
  uid: readonly [real: number, effective: number, saved: number]
  gid: readonly [real: number, effective: number, saved: number]
  groups: number[]
  owner: number
  group: number
  setuid: boolean
  setgid: boolean
  nosuid: boolean
  capabilities: FileCapabilities | undefined
}

const subset = (of: readonly CapabilityName[] = some) => fc.subarray([...of])
const user = fc.constantFrom(0, 0, USER, USER + 1)
const group = fc.constantFrom(0, GROUP, GROUP + 1)
const [major = 0, minor = 0] = release().split('.').map(Number)
/** Since when ids that differ beforehand, and a group of one's own, change nothing. */
const recent = major > 6 || (major === 6 && minor >= 16)
const ids = (id: fc.Arbitrary<number>) => {
  const same = id.map(one => [one, one, one] as const)
  return recent ? fc.oneof(same, fc.tuple(id, id, id)) : same
}
const securebits: fc.Arbitrary<Securebit[]> = fc.oneof(
  fc.constant<Securebit[]>([]),
  fc.subarray<Securebit>(['noroot', 'no_setuid_fixup', 'keep_caps', 'keep_caps_locked']),
)
const file: fc.Arbitrary<FileCapabilities> = fc.record(
  {
    permitted: subset(),
    inheritable: subset(),
    effective: fc.boolean(),
    rootId: fc.constantFrom(0, USER),
  },
  { requiredKeys: ['permitted', 'inheritable', 'effective'] },
)

const cases: fc.Arbitrary<Case> = fc
  .record({
    bounding: subset(),
    permitted: subset(),
    noNewPrivileges: fc.nat(3).map(n => n === 0),
    securebits,
    uid: ids(user),
    gid: ids(group),
    groups: recent ? fc.subarray([GROUP, GROUP + 1]) : fc.constant<number[]>([]),
    owner: user,
    group,
    setuid: fc.boolean(),
    setgid: fc.boolean(),
    nosuid: fc.nat(5).map(n => n === 0),
    capabilities: fc.option(file, { nil: undefined }),
  })
  .chain(base =>
    fc
      .record({
        // As capset(2) and prctl(2) would have them.
        inheritable: subset(),
        effective: subset(base.permitted),
        ambient: subset(base.permitted),
      })
      .map(({ inheritable, ...more }) => ({
        ...base,
        ...more,
        inheritable: [...new Set([...inheritable, ...more.ambient])],
      })),
  )

/** Steps that give a process the state of a case. */
function become(state: Case) {
  const bits = (name: 'bounding' | 'inheritable' | 'permitted' | 'effective' | 'ambient') =>
    toBits(name, state[name])
  const groups = Buffer.from(new Uint32Array(state.groups).buffer)
  const sets = {
    bounding: bits('bounding'),
    effective: toBits('x', ['SETPCAP']),
    permitted: bits('permitted') | toBits('x', ['SETPCAP']),
    inheritable: bits('inheritable'),
    ambient: 0n,
  }
  return [
    // Changes of user change no capabilities meanwhile.
    securebitsStep(['no_setuid_fixup', 'keep_caps']),
    step(
      'ids',
      call('setgroups', [state.groups.length, { bytes: groups, text: '[…]' }]),
      call('setresgid', [...state.gid]),
      call('setresuid', [...state.uid]),
    ),
    capabilitySets(sets),
    // What is inheritable already stays so.
    step('bounding', dropBounding(named('some', bits('bounding')))),
    clearAmbient(),
    raiseAmbient(bits('ambient')),
    securebitsStep(state.securebits),
    capabilitySets({ ...sets, effective: bits('effective'), permitted: bits('permitted') }),
    ...(state.noNewPrivileges ? [step('no new privileges', call('prctl', [38, 1, 0, 0, 0]))] : []),
  ]
}

function computed(state: Case): ExecutedCapabilities | string {
  const ids = ([real, effective, saved]: Case['uid']) => ({
    real,
    effective,
    saved,
    filesystem: effective,
  }) // as setresuid(2) leaves it
  const file: ExecutedFile = {
    capabilities: state.capabilities,
    nosuid: state.nosuid,
    ...(state.setuid ? { setuid: state.owner } : {}),
    ...(state.setgid ? { setgid: state.group } : {}),
  }
  try {
    return afterExec({ ...state, uid: ids(state.uid), gid: ids(state.gid) }, file)
  } catch (error) {
    return (error as { code: string }).code
  }
}

t.test('what an execve yields', needsRoot, async t => {
  if (!recent)
    t.comment('before Linux 6.16: all ids are the same beforehand, without further groups')
  const folder = scratch(t)
  chmodSync(folder, 0o755)
  const program = join(folder, 'cat')
  const root = makeRoot(t)
  const outcomes = new Set<string>()
  const look = async (state: Case): Promise<ExecutedCapabilities | string> => {
    copyFileSync('/bin/cat', program)
    chownSync(program, state.owner, state.group)
    chmodSync(program, 0o755 | (state.setuid ? 0o4000 : 0) | (state.setgid ? 0o2000 : 0))
    if (state.capabilities) setFileCapabilities(program, state.capabilities)
    const builder = new Container()
      .rootfs(root)
      .mount(hostPrograms, bind(folder, '/program', { nosuid: state.nosuid }))
      .capabilities('all')
      .noNewPrivileges(false)
    for (const own of become(state)) builder.step(own, { half: 'process', before: 'exec' })
    await using box = await builder.create()
    try {
      // The dynamic linker shows the vector only to whom it trusts.
      const env = { LD_SHOW_AUXV: '1' }
      const { stdout } = await runIn(box, ['/program/cat', '/proc/self/status'], { env })
      return { ...parseStatus(stdout), secure: !/^AT_SECURE/m.test(stdout) }
    } catch (error) {
      const { code, syscall } = error as { code: string; syscall: string }
      if (syscall !== 'execve') throw error
      return code
    }
  }
  await fc.assert(
    fc.asyncProperty(cases, async state => {
      const expected = computed(state)
      const found = await look(state)
      if (typeof expected === 'object') expected.securebits = undefined // told to nobody else
      outcomes.add(JSON.stringify(typeof found === 'string' ? found : [found.permitted, found.uid]))
      t.same(found, expected, JSON.stringify(state))
      if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error('not so')
    }),
    { numRuns: 300 },
  )
  t.ok(outcomes.size > 30, `${outcomes.size} different outcomes`)
  t.ok(outcomes.has('"EPERM"'), 'refusal among them')
})

t.test('capabilities for one user namespace', needsRoot, async t => {
  const HOST_ROOT = 100_000
  const folder = scratch(t)
  chmodSync(folder, 0o755)
  const program = join(folder, 'cat')
  copyFileSync('/bin/cat', program)
  const ids = [{ containerId: 0, hostId: HOST_ROOT, size: 65_536 }]
  const root = makeRoot(t)
  chmodSync(dirname(root), 0o755)
  mkdirSync(join(root, 'program'))
  const builder = new Container()
    .rootfs(root)
    .mount(hostPrograms, bind(folder, '/program', { nosuid: false }))
    .idMappings({ uid: ids, gid: ids })
    .noNewPrivileges(false)
  for (const [rootId, expected] of [
    [HOST_ROOT, ['CHOWN']], // its own root
    [0, ['CHOWN']], // root of the one above
    [HOST_ROOT + USER, []],
    [undefined, ['CHOWN']],
  ] as const) {
    const own = { permitted: ['CHOWN'] as CapabilityName[], inheritable: [], effective: true }
    const capabilities = rootId === undefined ? own : { ...own, rootId }
    setFileCapabilities(program, capabilities)
    await using box = await builder.create()
    const main = await box.start(['/program/cat', '/proc/self/status'], { user: USER })
    const found = parseStatus((await main.stdout.text()) ?? '')
    const outside = (id: number) => {
      const one = HOST_ROOT + id
      return { real: one, effective: one, saved: one, filesystem: one }
    }
    const before = { ...found, permitted: [], effective: [], ambient: [], inheritable: [] }
    const roots = [HOST_ROOT, 0]
    const state = { ...before, uid: outside(USER), gid: outside(0) }
    const { permitted, effective } = afterExec(state, { capabilities, roots })
    t.same(found.permitted, expected)
    t.same({ permitted, effective }, { permitted: found.permitted, effective: found.effective })
  }
})

t.test('nothing is left', nothingLeft)
