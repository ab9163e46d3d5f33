import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { attempt, CofferdamError, type plan } from 'cofferdam'
import {
  allCapabilities,
  boundingSet,
  type CapabilityName,
  capabilitySets,
  clearAmbient,
  dropFromBounding,
  formatIab,
  formatText,
  fromBits,
  lastCapability,
  lowerAmbient,
  type ProcessCapabilities,
  parseStatus,
  processCapabilities,
  raiseAmbient,
  securebitNames,
  securebitsFromBits,
  securebitsStep,
  securebitsToBits,
  toBits,
} from 'cofferdam/capabilities'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { needsRoot, rememberTraces } from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('the last capability of this kernel', async t => {
  const last = readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8').trim()
  t.equal(lastCapability(), Number(last))
  t.equal(fromBits(allCapabilities()).length, Number(last) + 1)
})

/** A program that capsh becomes with these options, until the test ends. */
async function becoming(t: Test, ...options: string[]) {
  const child = spawn('capsh', [...options, '--', '-c', 'echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    child.kill()
    await once(child, 'exit')
  })
  await once(child.stdout, 'data')
  return child.pid as number
}

t.test('the sets of any process', needsRoot, async t => {
  const pid = await becoming(
    t,
    '--drop=cap_sys_admin,cap_sys_time',
    '--secbits=4', // a change of user changes no capabilities
    '--gid=2000',
    '--groups=3000,3001',
    '--uid=1000',
    '--caps=cap_net_raw,cap_kill,cap_chown+eip',
    '--addamb=cap_net_raw,cap_kill',
    '--no-new-privs',
  )
  const state = processCapabilities(pid)
  t.same(state.ambient, ['KILL', 'NET_RAW'])
  t.same(state.permitted, ['KILL', 'NET_RAW'], 'what was not ambient is gone with the execve')
  t.same(state.effective, ['KILL', 'NET_RAW'])
  t.same(state.inheritable, ['CHOWN', 'KILL', 'NET_RAW'])
  t.notOk(state.bounding.includes('SYS_ADMIN') || state.bounding.includes('SYS_TIME'))
  t.ok(state.bounding.includes('SYS_CHROOT'))
  t.equal(state.noNewPrivileges, true)
  t.equal(state.securebits, undefined, 'which the kernel tells nobody else')
  t.same(state.uid, { real: 1000, effective: 1000, saved: 1000, filesystem: 1000 })
  t.same(state.gid, { real: 2000, effective: 2000, saved: 2000, filesystem: 2000 })
  t.same(state.groups, [3000, 3001])
  const getpcaps = (option: string[]) =>
    execFileSync('getpcaps', [...option, `${pid}`], { encoding: 'utf8' })
  t.equal(getpcaps([]), `${pid}: ${formatText(state)}\n`)
  t.equal(getpcaps(['--iab']), `${pid}: "${formatText(state)}" [${formatIab(state)}]\n`)
})

t.test('one thread of a process, and one of another', async t => {
  const tasks = readdirSync('/proc/self/task').map(Number)
  for (const thread of tasks)
    t.same(processCapabilities(process.pid, { thread }).permitted, processCapabilities().permitted)
  const script = `import('cofferdam/capabilities').then(({ processCapabilities }) =>
    require('node:worker_threads').parentPort.postMessage(processCapabilities()))`
  const [found] = await once(new Worker(script, { eval: true }), 'message')
  t.same(found, processCapabilities())
  t.throws(() => processCapabilities(process.pid, { thread: process.ppid }), { code: 'ESRCH' })
})

t.test('securebits of this program', needsRoot, async t => {
  t.same(processCapabilities().securebits, [])
  const script = `
    const { processCapabilities } = await import('cofferdam/capabilities')
    console.log(processCapabilities().securebits.join())`
  const args = [process.execPath, '--input-type=module', '-e', script]
  for (const securebits of ['noroot_locked', 'noroot', 'no_setuid_fixup', 'keep_caps_locked'])
    t.equal(
      execFileSync('setpriv', [`--securebits=+${securebits}`, ...args], { encoding: 'utf8' }),
      `${securebits}\n`,
    )
  t.same(securebitsFromBits(securebitsToBits('x', securebitNames)), securebitNames)
})

t.test('what there is not', async t => {
  for (const wrong of [0, -1, 1.5, 2 ** 31, Number.NaN, '1', null])
    t.throws(() => processCapabilities(wrong as number), {
      code: 'ERR_INVALID_OPTION',
      option: 'pid',
    })
  t.throws(() => processCapabilities(2 ** 31 - 1), { code: 'ESRCH' })
  t.throws(() => processCapabilities(1, { thread: 0 }), {
    code: 'ERR_INVALID_OPTION',
    option: 'processCapabilities.thread',
  })
})

t.test('steps, one by one', needsRoot, async t => {
  const found: ProcessCapabilities[] = []
  const look: plan.WaitingStep = {
    side: 'waiting',
    name: 'look',
    run: ({ pid }) => void found.push(processCapabilities(pid)),
  }
  const bits = (...names: CapabilityName[]) => toBits('x', names)
  const some = bits('CHOWN', 'KILL', 'SETPCAP')
  const sets = { bounding: 0n, effective: some, permitted: some, inheritable: some, ambient: 0n }
  await attempt([
    capabilitySets(sets),
    raiseAmbient(bits('CHOWN', 'KILL')),
    look,
    lowerAmbient(bits('KILL')),
    look,
    clearAmbient(),
    look,
    dropFromBounding(bits('SYS_TIME', 'CHECKPOINT_RESTORE')),
    look,
    boundingSet({ bounding: bits('MKNOD') }),
    look,
    capabilitySets({ ...sets, effective: 0n, inheritable: 0n }),
    look,
  ])
  t.same(
    found.map(({ ambient }) => ambient),
    [['CHOWN', 'KILL'], ['CHOWN'], [], [], [], []],
  )
  const own = fromBits(allCapabilities()).filter(has(processCapabilities().bounding))
  const left = own.filter(name => name !== 'SYS_TIME' && name !== 'CHECKPOINT_RESTORE')
  t.same(
    found.map(({ bounding }) => bounding),
    [own, own, own, left, ['MKNOD'], ['MKNOD']],
  )
  t.same(found[4]?.effective, ['CHOWN', 'KILL', 'SETPCAP'])
  t.same(found[5]?.effective, [])
  t.same(found[5]?.permitted, ['CHOWN', 'KILL', 'SETPCAP'])
  t.same(found[5]?.inheritable, [])
})

function has(set: readonly CapabilityName[]) {
  return (name: CapabilityName) => set.includes(name)
}

t.test('securebits, as a step: what they forbid', needsRoot, async t => {
  const kill = toBits('x', ['KILL'])
  const no = { code: 'EPERM', syscall: 'prctl' }
  const all = toBits('x', processCapabilities().permitted)
  const inheritable = capabilitySets({
    bounding: 0n,
    effective: all,
    permitted: all,
    inheritable: kill,
    ambient: 0n,
  })
  const forbid = securebitsStep(['no_cap_ambient_raise'])
  await attempt([inheritable, raiseAmbient(kill), forbid])
  await t.rejects(attempt([inheritable, forbid, raiseAmbient(kill)]), no)
  await attempt([forbid, securebitsStep([])])
  const locked = securebitsStep(['no_cap_ambient_raise', 'no_cap_ambient_raise_locked'])
  await t.rejects(attempt([locked, securebitsStep([])]), no)
  await t.rejects(attempt([dropFromBounding(2n << BigInt(lastCapability()))]), { code: 'EINVAL' })
})

t.test('any text of proc is read or refused', async t => {
  const status = readFileSync('/proc/self/status', 'utf8')
  t.same({ ...parseStatus(status), securebits: [] }, processCapabilities())
  const lines = status.split('\n')
  const relevant = lines.filter(line => /^(Cap|Uid|Gid|Groups|NoNew)/.test(line))
  for (const line of relevant) {
    const without = lines.filter(other => other !== line).join('\n')
    const may = /^(CapAmb|NoNewPrivs)/.test(line) // in older kernels
    if (may) t.ok(parseStatus(without))
    else t.throws(() => parseStatus(without), { code: 'EBADMSG' }, line)
  }
  const field = fc.constantFrom(...relevant.map(line => line.split(':')[0] as string))
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom('', '0', '-1', '1e3', '0x1', 'ffffffffffffffff', '10000000000000000'),
    fc.array(fc.nat().map(String), { maxLength: 5 }).map(all => all.join('\t')),
  )
  const broken = fc
    .tuple(field, value)
    .map(([name, text]) =>
      status.replace(new RegExp(`^${name}:.*$`, 'm'), () => `${name}:\t${text}`),
    )
  fc.assert(
    fc.property(fc.oneof(fc.string(), broken), text => {
      try {
        parseStatus(text)
        return true
      } catch (error) {
        return error instanceof CofferdamError && error.code === 'EBADMSG'
      }
    }),
    { numRuns: 1000 },
  )
})

t.test('nothing is left', nothingLeft)
