import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Box, Container, type PipedProcess, type StartOptions } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  needsRoot,
  overHost,
  program,
  rememberTraces,
  scratch,
  spawnProgram,
  terminalShell,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

/** What the tests have left in their state folders. */
const left: string[] = []

/** A state folder of the test's own, which must be empty in the end. */
function stateOf(t: Test): { stateFolder: string } {
  const stateFolder = join(scratch(t), 'state')
  t.teardown(() => {
    if (existsSync(stateFolder)) left.push(...readdirSync(stateFolder))
  })
  return { stateFolder }
}

/** A detached container with a shell script as its first process. */
async function started(
  t: Test,
  script: string,
  options: StartOptions = {},
): Promise<{ box: Box; state: { stateFolder: string } }> {
  const state = stateOf(t)
  const box = await overHost('box').create({ lifetime: 'detached', ...state })
  await box.start(['sh', '-c', script], options)
  return { box, state }
}

/** Processes named as keepers are, but for zombies. */
function keepers(): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return /^\d+ \(cofferdam-keep\) [^Z]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })
}

const before = keepers()

function alive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

t.test('made, started, joined, read and asked by one program each', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const made = await program(
    stateFolder,
    `const box = await over('relay').create({ lifetime: 'detached', ...state })
     console.log(box.status, box.pid)`,
  )
  const pid = Number(made.split(' ')[1])
  t.equal(made, `created ${pid}`)
  t.ok(alive(pid), 'it is there when its maker has ended')

  const first = `
    const box = await Container.load('relay', state)
    const before = box.status
    const main = await box.start(['sh', '-c', 'echo begin; while read line; do echo got $line; done; exit 9'])
    console.log(before, box.status, main.pid)`
  t.equal(await program(stateFolder, first), `created running ${pid}`)

  const other = `
    const box = await Container.load('relay', state)
    const ps = await box.exec(['sh', '-c', 'hostname; readlink /proc/1/ns/pid /proc/self/ns/pid | uniq | wc -l'])
    console.log((await ps.stdout.text()).trim().split('\\n').join())
    const main = await box.attach()
    main.stdin.write('one\\n')
    for await (const line of main.stdout.lines()) {
      console.log(line)
      if (line === 'got one') process.exit(0) // without a word
    }`
  t.equal(await program(stateFolder, other), 'relay,1\nbegin\ngot one')

  const third = `
    const box = await Container.load('relay', state)
    const main = await box.attach()
    main.stdin.end('two\\n')
    console.log((await main.stdout.text()).trim(), JSON.stringify(await main.exited))`
  t.equal(await program(stateFolder, third), 'got two {"exitCode":9,"signal":null}')

  const later = `
    const box = await Container.load('relay', state)
    console.log(box.status, JSON.stringify(await box.main.exited),
      Date.now() - box.finishedAt < 60_000, box.createdAt <= box.startedAt, box.startedAt <= box.finishedAt)`
  t.equal(await program(stateFolder, later), 'stopped {"exitCode":9,"signal":null} true true true')
  const [found] = await Container.list({ stateFolder })
  t.equal(found?.id, 'relay')
  await found?.delete()
  t.equal(found?.status, 'deleted')
  await t.rejects(Container.load('relay', { stateFolder }), { code: 'ENOENT' })
})

t.test('stopped by another program', needsRoot, async t => {
  const { box, state } = await started(
    t,
    'trap "exit 6" TERM; echo ready; while :; do sleep 0.01; done',
  )
  const main = box.main as PipedProcess
  for await (const _ of main.stdout.lines()) break
  const exit = { exitCode: 6, signal: null }
  const again = await Container.load('box', state)
  t.same(await again.stop(), exit)
  t.same(await again.main?.exited, exit)
  const third = await Container.load('box', state)
  t.same(await third.stop(), exit, 'also when it has been')
  await again.delete()
})

t.test('how it ended, by exit code or signal, also for who asks before', needsRoot, async t => {
  const { box, state } = await started(t, 'sleep 1000')
  const asked = program(
    state.stateFolder,
    `const { main } = await Container.load('box', state)
     console.log(JSON.stringify(await main.exited))`,
  )
  await box.kill('SIGKILL')
  const exit = { exitCode: null, signal: 'SIGKILL' as const }
  t.same(await box.main?.exited, exit)
  t.same(JSON.parse(await asked), exit)
  t.same(await (await Container.load('box', state)).main?.exited, exit)
  await box.delete()
})

t.test('a program is not kept alive by a container that outlives it', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  await program(
    stateFolder,
    `const box = await over('box').create({ lifetime: 'detached', ...state })
     await box.start(['sleep', '1000'], { stdio: 'ignore' })`,
  )
  const box = await Container.load('box', { stateFolder })
  t.equal(box.status, 'running')
  t.equal(keepers().length > 0, true)
  await box.delete()
})

t.test('what nobody has read is there when it has ended', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const script = 'echo out; echo err >&2; head -c 50000 /dev/zero'
  await program(
    stateFolder,
    `const box = await over('box').create({ lifetime: 'detached', ...state })
     await box.start(['sh', '-c', ${JSON.stringify(script)}])`,
  )
  const box = await Container.load('box', { stateFolder })
  t.same(await box.main?.exited, { exitCode: 0, signal: null })
  const main = await box.attach()
  const output = (await main.stdout?.text()) ?? ''
  t.equal(output.slice(0, 4), 'out\n')
  t.equal(output.length, 50004)
  t.equal(await main.stderr?.text(), 'err\n')
  await box.delete()
})

t.test('its streams are one program’s at a time', needsRoot, async t => {
  const { box, state } = await started(t, 'while read line; do echo got $line; done')
  const again = await Container.load('box', state)
  await t.rejects(again.attach(), { code: 'EBUSY' })
  box.main?.detach()
  t.equal(box.main?.stdout, null)
  const main = await again.attach()
  main.stdin?.end('x\n')
  t.equal(await main.stdout?.text(), 'got x\n')
  t.same(await main.exited, { exitCode: 0, signal: null })
  await again.delete()
  t.equal(box.status, 'deleted')
  await box.delete()
})

t.test('a terminal that is held for the next program', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  await program(
    stateFolder,
    `const box = await over('box').create({ lifetime: 'detached', ...state })
     await box.start(['sh'], { terminal: true, env: { PS1: '> ' } })`,
  )
  const box = await Container.load('box', { stateFolder })
  const shell = terminalShell(await box.attach())
  await shell.type('tty', /pts\/\d/)
  shell.process.terminal?.resize({ rows: 33, columns: 101 })
  await shell.type('stty size', /33 101/)
  shell.process.detach()
  const again = terminalShell(await (await Container.load('box', { stateFolder })).attach())
  await again.type('stty size', /33 101/)
  again.process.terminal?.write('exit 3\n')
  t.same(await again.process.exited, { exitCode: 3, signal: null })
  await box.delete()
})

t.test('a log, exchanged for a new one when it is full', needsRoot, async t => {
  const folder = scratch(t)
  const log = join(folder, 'service.log')
  const lines = 'i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done'
  const { box } = await started(t, `${lines}; echo last >&2`, {
    stdio: ['ignore', { log, maxSize: 10_000, maxFiles: 4 }, { log, maxSize: 10_000, maxFiles: 4 }],
  })
  t.same(await box.main?.exited, { exitCode: 0, signal: null })
  const files = readdirSync(folder).sort()
  t.same(files, ['service.log', 'service.log.1', 'service.log.2', 'service.log.3'])
  for (const file of files) {
    t.ok(statSync(join(folder, file)).size <= 10_000)
    t.match(readFileSync(join(folder, file), 'utf8'), /^line \d+\n/, 'it begins with a line')
  }
  const text = files
    .reverse()
    .map(file => readFileSync(join(folder, file), 'utf8'))
    .join('')
    .trim()
    .split('\n')
  t.equal(text.pop(), 'last')
  const from = 5000 - text.length
  t.same(
    text,
    Array.from({ length: text.length }, (_, i) => `line ${from + i}`),
  )
  await box.delete()
})

t.test('a log that somebody keeps open does not hold up the end', needsRoot, async t => {
  const log = join(scratch(t), 'log')
  const state = stateOf(t)
  const box = await new Container('box')
    .isolate('mount', 'uts')
    .create({ lifetime: 'detached', ...state })
  const main = await box.start(['sh', '-c', 'sleep 1000 & echo $!'], {
    stdio: ['ignore', { log }, 'ignore'],
  })
  t.same(await main.exited, { exitCode: 0, signal: null })
  const sleeping = Number(readFileSync(log, 'utf8'))
  t.ok(sleeping > 1, 'all of it is in the log')
  if (sleeping > 1) process.kill(sleeping)
  await box.delete()
})

t.test('a log without a keeper', needsRoot, async t => {
  const log = join(scratch(t), 'log')
  await using box = await overHost().create()
  await t.rejects(box.start(['true'], { stdio: ['ignore', { log }, 'pipe'] }), {
    code: 'ERR_UNSUPPORTED',
    option: 'stdio',
  })
  t.notOk(existsSync(log))
  await t.rejects(box.attach(), { code: 'ERR_UNSUPPORTED' })
})

t.test('a program that is missing', needsRoot, async t => {
  const state = stateOf(t)
  const box = await overHost('box').create({ lifetime: 'detached', ...state })
  await t.rejects(box.start(['nonesuch']), { code: 'ENOENT' })
  t.equal(box.status, 'stopped')
  t.equal(box.main, undefined)
  t.equal((await Container.load('box', state)).main, undefined)
  await box.delete()
})

t.test('a name is taken for all programs', needsRoot, async t => {
  const state = stateOf(t)
  const box = await overHost('box').create({ lifetime: 'detached', ...state })
  const taken = { code: 'EEXIST', option: 'id' }
  await t.rejects(overHost('box').create({ lifetime: 'detached', ...state }), taken)
  await t.rejects(overHost('box').create(state), taken)
  const other = program(
    state.stateFolder,
    `await over('box').create({ lifetime: 'released', ...state })
       .then(() => console.log('made'), ({ code }) => console.log(code))`,
  )
  t.equal(await other, 'EEXIST')
  await box.delete()
})

t.test('several that take a name at once: one gets it', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const script = `await over('box').create({ lifetime: 'detached', ...state })
    .then(() => console.log('made'), ({ code }) => console.log(code))`
  for (let round = 0; round < 20; round++) {
    const attempts = Array.from({ length: 4 }, () =>
      overHost('box').create({ lifetime: 'detached', stateFolder }),
    )
    const outcomes = await Promise.allSettled([
      ...attempts,
      round % 10 === 0 ? program(stateFolder, script) : '',
    ])
    const made = outcomes.slice(0, 4).filter(({ status }) => status === 'fulfilled')
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'EEXIST' })
    const other = (outcomes[4] as PromiseFulfilledResult<unknown>).value
    t.equal(made.length + (other === 'made' ? 1 : 0), 1)
    const box = await Container.load('box', { stateFolder })
    t.equal(box.status, 'created')
    await box.start(['true'], { stdio: 'ignore' })
    t.same(await box.main?.exited, { exitCode: 0, signal: null })
    await box.delete()
  }
})

t.test('two programs that start it at once: one does', needsRoot, async t => {
  const state = stateOf(t)
  for (let round = 0; round < 5; round++) {
    const box = await overHost('box').create({ lifetime: 'detached', ...state })
    const start = `
      const box = await Container.load('box', state)
      await box.start(['sleep', '1000'], { stdio: 'ignore' })
        .then(() => console.log('started'), ({ code }) => console.log(code))`
    const outcomes = await Promise.all(
      Array.from({ length: 3 }, () => program(state.stateFolder, start)),
    )
    t.same(outcomes.sort(), ['ERR_STATE', 'ERR_STATE', 'started'])
    t.equal(box.status, 'running')
    const gone = `const box = await Container.load('box', state).catch(() => undefined)
      await box?.delete()
      console.log('gone')`
    t.same(await Promise.all(Array.from({ length: 3 }, () => program(state.stateFolder, gone))), [
      'gone',
      'gone',
      'gone',
    ])
    t.equal(box.status, 'deleted')
  }
})

t.test('a container does not outlive its keeper', needsRoot, async t => {
  const others = keepers()
  const { box } = await started(t, 'sleep 1000', { stdio: 'ignore' })
  const [keeper] = keepers().filter(pid => !others.includes(pid))
  process.kill(keeper as number, 'SIGKILL')
  const { pid } = box
  t.ok(await until(() => pid === undefined || !alive(pid)))
  t.equal(box.status, 'stopped')
  t.equal((await box.main?.exited)?.exitCode, null)
  await box.delete()
})

t.test('what a terminal sends to its maker does not end it', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const host = spawn('setsid', [
    process.execPath,
    '--input-type=module',
    '-e',
    `import { Container, overlay } from 'cofferdam'
     const box = await new Container('box').rootfs(overlay({ lower: ['/'] }))
       .create({ lifetime: 'detached', stateFolder: ${JSON.stringify(stateFolder)} })
     console.log('made')
     setInterval(() => undefined, 1000)`,
  ])
  await once(host.stdout, 'data')
  process.kill(-(host.pid as number), 'SIGINT')
  await once(host, 'exit')
  const box = await Container.load('box', { stateFolder })
  t.equal(box.status, 'created')
  await box.delete()
})

const choosesPids = existsSync('/proc/sys/kernel/ns_last_pid')
  ? needsRoot
  : { skip: 'this kernel gives no say in which pid is next (CONFIG_CHECKPOINT_RESTORE)' }

t.test('a pid that is another’s by now', choosesPids, async t => {
  const { box, state } = await started(t, 'sleep 1000', { stdio: 'ignore' })
  const pid = box.pid as number
  await box.kill('SIGKILL')
  await box.main?.exited
  // The kernel gives the number after the last one, if it is free; another
  // process may be faster.
  let victim: ReturnType<typeof spawn> | undefined
  await until(() => !existsSync(`/proc/${pid}`))
  for (let tries = 0; tries < 200 && victim?.pid !== pid; tries++) {
    victim?.kill('SIGKILL')
    writeFileSync('/proc/sys/kernel/ns_last_pid', `${pid - 1}`)
    victim = spawn('sleep', ['1000'])
  }
  t.equal(victim?.pid, pid)
  const again = await Container.load('box', state)
  t.equal(again.status, 'stopped')
  t.equal(again.pid, undefined)
  await t.rejects(again.kill('SIGKILL'), { code: 'ESRCH' })
  await again.delete()
  t.ok(alive(pid), 'it lives')
  victim?.kill('SIGKILL')
})

t.test('one that was never finished can be deleted', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  for (const lifetime of ['detached', 'released']) {
    const host = spawnProgram(
      stateFolder,
      `await over('half').step({
         side: 'waiting', name: 'stay', run: ({ pid }) => { console.log(pid); return new Promise(() => undefined) }
       }).create({ lifetime: ${JSON.stringify(lifetime)}, ...state })`,
    )
    const [chunk] = (await once(host.stdout, 'data')) as [Buffer]
    const during = await Container.load('half', { stateFolder })
    t.equal(during.status, 'creating')
    await t.rejects(during.start(['true']), { code: 'ERR_STATE' })
    host.kill('SIGKILL')
    await once(host, 'exit')
    const pid = Number(chunk.toString())
    t.ok(await until(() => !alive(pid)), 'init has ended with its maker')
    t.equal(during.status, 'stopped')
    await during.delete()
  }
})

t.test('a mount target that was made for it goes, whoever deletes it', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const root = scratch(t)
  for (const name of ['proc', 'sys', 'dev']) spawnSync('mkdir', [join(root, name)])
  for (const lifetime of ['detached', 'attached']) {
    const host = spawnProgram(
      stateFolder,
      `const box = await new Container('box').rootfs(${JSON.stringify(root)}).mount(tmpfs('/made/here'))
         .create({ lifetime: ${JSON.stringify(lifetime)}, ...state })
       console.log(box.status)
       setInterval(() => undefined, 1000)`,
    )
    await once(host.stdout, 'data')
    t.ok(existsSync(join(root, 'made/here')))
    const box = await Container.load('box', { stateFolder })
    if (lifetime === 'attached') {
      t.equal(box.status, 'running')
      await t.rejects(box.delete(), { code: 'ERR_STATE' }, 'its program lives')
    }
    // An init takes its time to die, and holds its lock on the root until then.
    const slow = ['sh', '-c', 'echo held; sleep 0.2']
    const dying = lifetime === 'attached' ? spawn('flock', ['--shared', root, ...slow]) : undefined
    if (dying !== undefined) await once(dying.stdout, 'data')
    host.kill('SIGKILL')
    await once(host, 'exit')
    await box.delete()
    t.notOk(existsSync(join(root, 'made')), 'they are gone')
  }
})

t.test('steps that only this program could carry out later', needsRoot, async t => {
  const state = stateOf(t)
  const builder = overHost('box').step({
    side: 'waiting',
    name: 'mine',
    run: () => undefined,
    undo: () => undefined,
  })
  await t.rejects(builder.create({ lifetime: 'detached', ...state }), {
    code: 'ERR_CONFLICT',
    option: 'create.lifetime',
  })
})

t.test('a state folder that others could change', needsRoot, async t => {
  const stateFolder = scratch(t)
  spawnSync('chmod', ['777', stateFolder])
  await t.rejects(overHost('box').create({ lifetime: 'detached', stateFolder }), { code: 'EACCES' })
})

t.test('the environment as another program gave it', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const env = "{ PATH: '/usr/bin:/bin', A: 'b', HOME: undefined }"
  await program(
    stateFolder,
    `await over('box').hostname('named').process({ argv: ['env'], env: ${env}, user: 7 })
       .create({ lifetime: 'detached', ...state })`,
  )
  const box = await Container.load('box', { stateFolder })
  const main = await box.start()
  t.same((await main.stdout?.text())?.trim().split('\n').sort(), [
    'A=b',
    'HOSTNAME=named',
    'PATH=/usr/bin:/bin',
  ])
  await box.delete()
})

t.test('released: whoever reaps it gets to know how it ended', needsRoot, async t => {
  const { stateFolder } = stateOf(t)
  const node = [process.execPath, '--input-type=module', '-e']
  const preamble = `import { Container, overlay } from 'cofferdam'
    const state = { stateFolder: ${JSON.stringify(stateFolder)} };`
  const create = `${preamble}
    const box = await new Container('box').rootfs(overlay({ lower: ['/'] })).create({ lifetime: 'released', ...state })
    console.log('pid', box.pid)`
  const start = `${preamble}
    const box = await Container.load('box', state)
    await box.start(['sh', '-c', 'sleep 0.2; exit 5'], { stdio: 'ignore' })`
  // prctl(PR_SET_CHILD_SUBREAPER), and then waits for all that it is given.
  const nr = process.arch === 'arm64' ? 167 : 157
  const reaper = `
    syscall(${nr}, 36, 1, 0, 0, 0) == 0 or die; $| = 1;
    for my $script (@ARGV) { system(${node.map(word => `'${word}'`).join(', ')}, $script) == 0 or die }
    while ((my $pid = wait) > 0) { print "reaped $pid ", $? >> 8, "\\n" }`
  const child = spawnSync('perl', ['-e', reaper, create, start], { encoding: 'utf8' })
  const pid = /pid (\d+)/.exec(child.stdout)?.[1]
  t.match(child.stdout, new RegExp(`reaped ${pid} 5\n`), child.stderr)
  const box = await Container.load('box', { stateFolder })
  t.equal(box.status, 'stopped')
  await box.delete()
})

t.test(
  'released: it lives without its maker, and its maker can wait for it',
  needsRoot,
  async t => {
    const state = stateOf(t)
    const box = await overHost('box').create({ lifetime: 'released', ...state })
    t.equal(keepers().includes(box.pid as number), false)
    const main = await box.start(['sh', '-c', 'echo x; exit 4'])
    t.equal(await main.stdout.text(), 'x\n')
    t.same(await main.exited, { exitCode: 4, signal: null })
    await box.delete()
  },
)

t.test('nothing is left behind', needsRoot, async t => {
  await nothingLeft(t)
  t.same(left, [], 'no container is left')
  t.ok(await until(() => keepers().every(pid => before.includes(pid))), 'no keeper is left')
})
