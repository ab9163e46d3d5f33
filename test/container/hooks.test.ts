import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bind, Container, type HookState } from 'cofferdam'
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
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const sh = (script: string) => ({ path: '/bin/sh', args: ['hook', '-c', script] })
const points = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const

/** A hook of the shell that writes to a file of the host, which the container sees too. */
function reporting(t: Test) {
  const [folder, root] = [scratch(t), makeRoot(t)]
  // For what is root only in a user namespace.
  chmodSync(dirname(root), 0o755)
  chmodSync(join(root, 'tmp'), 0o1777)
  return {
    folder,
    report: (name: string) => readFileSync(join(folder, name), 'utf8').trim(),
    /** A container in a root of its own that has the folder at the same place. */
    builder: () => new Container().rootfs(root).mount(hostPrograms, bindSame(folder)),
  }
}

const bindSame = (folder: string) => bind(folder, folder)

t.test('in order, over several calls, programs and functions', needsRoot, async t => {
  const { folder, builder, report } = reporting(t)
  const log = join(folder, 'log')
  const both = Object.fromEntries(
    points.map(point => [
      point,
      [
        sh(`echo ${point} program >> ${log}`),
        async (state: HookState) => {
          await sleep(5)
          writeFileSync(log, `${point} function ${state.status}\n`, { flag: 'a' })
        },
      ],
    ]),
  )
  const box = await builder()
    .hooks(both)
    .hooks({ prestart: sh(`echo prestart again >> ${log}`) })
    .create()
  writeFileSync(log, 'created\n', { flag: 'a' })
  const { exitCode } = await runIn(box, [
    'sh',
    '-c',
    `while ! grep -q poststart.f ${log}; do :; done`,
  ])
  t.equal(exitCode, 0)
  await box.delete()
  await box.delete()
  t.same(report('log').split('\n'), [
    'prestart program',
    'prestart function creating',
    'prestart again',
    'createRuntime program',
    'createRuntime function creating',
    'createContainer program',
    'createContainer function creating',
    'created',
    'startContainer program',
    'startContainer function created',
    'poststart program',
    'poststart function running',
    'poststop program',
    'poststop function stopped',
  ])
  t.same(box.warnings, [])
})

const namespaces = ['mnt', 'pid', 'uts', 'ipc', 'net', 'cgroup', 'user']

t.test('each runs in the namespaces and the root that it belongs to', needsRoot, async t => {
  for (const withUser of [false, true]) {
    const { folder, builder, report } = reporting(t)
    chmodSync(folder, 0o777)
    const look = (point: string) =>
      sh(
        `exec > ${folder}/${point}; for n in ${namespaces.join(' ')}; do readlink /proc/self/ns/$n; done;` +
          ' stat -Lc %d:%i / .; test -e /boot -o -e /root && echo host || echo container; id -u',
      )
    const description = builder().hooks(
      Object.fromEntries(points.map(point => [point, look(point)])),
    )
    const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
    if (withUser) description.idMappings({ uid: ids, gid: ids })
    const box = await description.create()
    const main = await box.start(['sh', '-c', 'stat -Lc %d:%i /; read x'], { stdio: 'pipe' })
    let rootInside = ''
    for await (const line of main.stdout.lines()) {
      rootInside = line
      break
    }
    const inside = namespaces.map(name => readlinkSync(`/proc/${box.pid}/ns/${name}`))
    const outside = namespaces.map(name => readlinkSync(`/proc/self/ns/${name}`))
    await box.delete()
    const what = withUser ? ' (user namespace)' : ''
    for (const point of ['prestart', 'createRuntime', 'poststart', 'poststop']) {
      const lines = report(point).split('\n')
      t.same(lines.slice(0, 7), outside, `${point} on the host${what}`)
      t.match(lines.slice(9), ['host', '0'])
    }
    const createContainer = report('createContainer').split('\n')
    t.same(createContainer.slice(0, 7), inside, `createContainer in the container${what}`)
    t.match(createContainer.slice(9), ['host', '0'], 'with the host’s files')
    t.equal(createContainer[8], rootInside, 'in the container’s root directory')
    t.not(createContainer[7], rootInside)
    const startContainer = report('startContainer').split('\n')
    t.same(startContainer.slice(0, 7), inside, `startContainer in the container${what}`)
    t.equal(startContainer[7], rootInside, 'with its root')
    t.match(startContainer.slice(9), ['container', '0'])
  }
})

t.test('what is mounted by createContainer is there afterwards', needsRoot, async t => {
  const { folder, builder } = reporting(t)
  writeFileSync(join(folder, 'hello'), 'from the hook')
  const description = builder().hooks({
    createContainer: sh(`mount -c --bind ${folder} tmp && mount -c --bind tmp etc`),
  })
  const box = await description.create()
  t.equal(
    (await runIn(box, ['cat', '/tmp/hello', '/etc/hello'])).stdout,
    'from the hookfrom the hook',
  )
  await box.delete()
})

t.test(
  'privileges: of this program before the pivot, of the container afterwards',
  needsRoot,
  async t => {
    const { folder, builder, report } = reporting(t)
    const look = (point: string) =>
      sh(
        `exec > ${folder}/${point}; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; ls -l /proc/$$/fd | grep -c :; cat /proc/self/oom_score_adj`,
      )
    const box = await builder()
      .capabilities(['CHOWN'])
      .hooks({ createContainer: look('createContainer'), startContainer: look('startContainer') })
      .create()
    const main = await box.start(['grep', '-E', 'CapEff|CapBnd|NoNewPrivs', '/proc/self/status'])
    const own = await main.stdout.text()
    await box.delete()
    t.match(report('startContainer'), own.trim(), 'as any process of the container')
    t.match(own, 'NoNewPrivs:\t1')
    const host = readFileSync('/proc/self/status', 'utf8')
    t.match(report('createContainer'), /CapEff:.*/.exec(host)?.[0] as string)
    t.match(report('createContainer'), 'NoNewPrivs:\t0')
  },
)

t.test('the state on standard input, arguments and environment', needsRoot, async t => {
  const { folder, builder, report } = reporting(t)
  const hook = (point: string, env: Record<string, string> | string[] | undefined) => ({
    path: '/bin/bash',
    args: [
      'name',
      '-c',
      `cat > ${folder}/${point}; echo $BASH_ARGV0 "$0" "$@" $(env) > ${folder}/${point}.args`,
      'zero',
      '',
      'two words',
    ],
    ...(env && { env }),
  })
  const PATH = process.env.PATH as string
  process.env.SECRET = 'of this program'
  const description = builder().bundle(folder).annotations({ a: '1' }).annotations({ b: '2' })
  description.hooks(
    Object.fromEntries(
      points.map((point, i) => [
        point,
        hook(point, i % 2 ? { PATH, X: 'y' } : ['X=y', `PATH=${PATH}`]),
      ]),
    ),
  )
  const box = await description.create()
  const { pid } = box
  const main = await box.start(['sleep', '100'])
  await box.delete()
  await main.exited
  const statuses = ['creating', 'creating', 'creating', 'created', 'running', 'stopped']
  points.forEach((point, i) => {
    const state = JSON.parse(report(point))
    const wanted = {
      ociVersion: '1.2.1',
      id: box.id,
      status: statuses[i],
      bundle: folder,
      annotations: { a: '1', b: '2' },
    }
    t.strictSame(state, point === 'poststop' ? wanted : { ...wanted, pid }, point)
    t.match(report(`${point}.args`), /zero {2}two words/)
    t.match(report(`${point}.args`), 'X=y')
    t.notMatch(report(`${point}.args`), 'SECRET')
  })
  delete process.env.SECRET
  const [state] = await new Promise<[HookState]>(resolve => {
    void overHost('bundleless')
      .hooks({ prestart: s => resolve([s]) })
      .create()
      .then(b => b.delete())
  })
  t.equal(state.bundle, '/run/cofferdam/bundleless')
  t.strictSame(state.annotations, {})
})

t.test('functions get the namespaces, while the container waits', needsRoot, async t => {
  const seen: string[] = []
  const box = await overHost()
    .hooks({
      createContainer: (state, context) => {
        seen.push(readlinkSync(context.namespace('network')))
        t.equal(state.pid, context.pid)
        t.notOk(context.signal.aborted)
      },
      startContainer: (_, context) => void seen.push(readlinkSync(context.namespace('mount'))),
      poststop: (_, context) => {
        t.equal(context.pid, undefined)
        t.throws(() => context.namespace('pid'), { code: 'ERR_STATE' })
      },
    })
    .create()
  const wanted = ['net', 'mnt'].map(name => readlinkSync(`/proc/${box.pid}/ns/${name}`))
  await runIn(box, ['true'])
  await box.delete()
  t.same(seen, wanted)
})

t.test(
  'a hook that fails before the program does not run it, and all is taken back',
  needsRoot,
  async t => {
    for (const point of [
      'prestart',
      'createRuntime',
      'createContainer',
      'startContainer',
    ] as const) {
      const order: string[] = []
      const root = makeRoot(t)
      const id = `fails-at-${point}`
      const before = readdirSync(root).sort()
      const description = new Container(id)
        .rootfs(root)
        .mount(hostPrograms, { ...bindSame(scratch(t)), target: '/made' })
        .step({
          side: 'waiting',
          name: 'mine',
          run: () => undefined,
          undo: () => void order.push('undo'),
        })
        .hooks({
          [point]: [
            () => void order.push('before'),
            sh('cat > /dev/null; echo some words >&2; exit 3'),
            () => void order.push('after'),
          ],
          poststart: () => void order.push('poststart'),
          poststop: state => void order.push(`poststop ${state.status}`),
        })
      const attempt = async () => {
        const box = await description.create()
        t.equal(point, 'startContainer', 'create() rejects already')
        await box.start(['touch', '/made/it']).finally(() => t.equal(box.status, 'deleted'))
      }
      await t.rejects(attempt(), {
        name: 'CofferdamError',
        code: 'ERR_HOOK',
        step: `${point} hook 1`,
        path: '/bin/sh',
        message: `${point} hook 1: /bin/sh ended with exit code 3: some words`,
      })
      t.same(order, ['before', 'undo', 'poststop stopped'], point)
      t.same(readdirSync(root).sort(), before, 'mount targets are gone')
      await (await new Container(id).create()).delete()
    }
  },
)

t.test('poststart: an error too, and the end of the container', needsRoot, async t => {
  const order: string[] = []
  const box = await overHost()
    .hooks({
      poststart: [sh('kill -9 $$'), () => void order.push('second')],
      poststop: () => void order.push('poststop'),
    })
    .create()
  await t.rejects(box.start(['sleep', '100']), {
    code: 'ERR_HOOK',
    step: 'poststart hook 0',
    message: /ended by SIGKILL/,
  })
  t.equal(box.status, 'deleted')
  t.same(order, ['poststop'])
})

t.test('poststart of a program that has ended already', needsRoot, async t => {
  const { folder, builder, report } = reporting(t)
  const box = await builder()
    .hooks({
      createRuntime: () => undefined,
      poststart: sh(`sleep 0.2; echo done > ${folder}/done`),
    })
    .create()
  await runIn(box, ['true'])
  t.equal(report('done'), 'done')
  await box.delete()
})

t.test('poststop: a warning, and the others run', needsRoot, async t => {
  const order: string[] = []
  const box = await overHost()
    .hooks({
      poststop: [
        sh('echo sorry >&2; exit 1'),
        () => void order.push('second'),
        () => {
          throw Object.assign(new Error('no luck'), { code: 'EMINE' })
        },
        () => void order.push('fourth'),
      ],
    })
    .create()
  await box.delete()
  await box.delete()
  t.same(order, ['second', 'fourth'])
  t.match(box.warnings, [
    { code: 'ERR_HOOK', step: 'poststop hook 0', message: /sorry/ },
    { code: 'EMINE', step: 'poststop hook 2', message: 'poststop hook 2: no luck' },
  ])
  t.equal(box.warnings.length, 2)

  const failing = overHost().hooks({ prestart: sh('exit 1'), poststop: sh('exit 2') })
  await t.rejects(failing.create(), {
    code: 'ERR_HOOK',
    step: 'prestart hook 0',
    message: /prestart hook 0: .*exit code 1; and then poststop hook 0: .*exit code 2/,
  })
})

t.test('no poststop for what never was', needsRoot, async t => {
  const called: string[] = []
  const builder = overHost().hooks({ poststop: () => void called.push('poststop') })
  const { call, step } = (await import('cofferdam')).plan
  await t.rejects(builder.step(step('fails', call('fchdir', [-1]))).create(), { code: 'EBADF' })
  t.same(called, [])
})

t.test('timeouts', needsRoot, async t => {
  const before = traces().children.length
  for (const point of ['prestart', 'createContainer', 'startContainer', 'poststart'] as const) {
    const began = Date.now()
    const attempt = async () => {
      const box = await overHost()
        .hooks({ [point]: { ...sh('echo slow >&2; sleep 77 & sleep 77'), timeout: '200ms' } })
        .create()
      await box.start(['sleep', '100'])
    }
    await t.rejects(attempt(), {
      code: 'ETIMEDOUT',
      step: `${point} hook 0`,
      message: `${point} hook 0: /bin/sh had not ended after 200 ms: slow`,
    })
    const took = Date.now() - began
    t.ok(took >= 200 && took < 5000, `${point}: ${took} ms`)
  }
  t.equal(traces().children.length, before)
  const running = readdirSync('/proc').some(pid => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep\x0077\x00')
    } catch {
      return false
    }
  })
  t.notOk(running, 'what a hook has started is killed with it')
  const patient = overHost().hooks({ prestart: { ...sh('sleep 0.1'), timeout: '10s' } })
  await (await patient.create()).delete()
})

t.test('programs that there are not, or that may not be executed', needsRoot, async t => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, '')
  for (const point of points.slice(0, 5)) {
    const attempt = async (path: string) => {
      const box = await overHost()
        .hooks({ [point]: { path } })
        .create()
      await box.start(['sleep', '100'])
    }
    const step = `${point} hook 0`
    await t.rejects(attempt('/no/such'), {
      code: 'ENOENT',
      syscall: 'execve',
      step,
      path: '/no/such',
    })
    await t.rejects(attempt('/etc/passwd'), { code: 'EACCES', syscall: 'execve', step })
  }
})

t.test('giving up kills a hook that runs', needsRoot, async t => {
  for (const point of ['prestart', 'createContainer'] as const) {
    const started = join(scratch(t), 'started')
    const abort = new AbortController()
    const order: string[] = []
    const creating = overHost()
      .hooks({
        [point]: sh(`touch ${started}; sleep 100`),
        poststop: () => void order.push('poststop'),
      })
      .create({ signal: abort.signal })
    if (point === 'prestart') while (!existsSync(started)) await sleep(5)
    else await sleep(300)
    abort.abort()
    await t.rejects(creating, { name: 'AbortError' })
    t.same(order, ['poststop'])
  }
  // a function is told
  const abort = new AbortController()
  const creating = overHost()
    .hooks({
      prestart: async (_, { signal }) => {
        abort.abort()
        await new Promise(resolve => signal.addEventListener('abort', resolve))
      },
    })
    .create({ signal: abort.signal })
  await t.rejects(creating, { name: 'AbortError' })
})

t.test('deleted while hooks run', needsRoot, async t => {
  for (const point of ['startContainer', 'poststart'] as const) {
    const order: string[] = []
    const box = await overHost()
      .hooks({ [point]: sh('sleep 100'), poststop: () => void order.push('poststop') })
      .create()
    const starting = box.start(['sleep', '100'])
    starting.catch(() => undefined)
    await sleep(200)
    t.equal(box.status, point === 'poststart' ? 'running' : 'starting')
    await t.rejects(box.start(['true']), { code: 'ERR_STATE' })
    await box.delete()
    await t.rejects(starting, {
      name: 'CofferdamError',
      code: 'ABORT_ERR',
      step: `${point} hook 0`,
    })
    t.same(order, ['poststop'])
  }
})

t.test('a container that dies under its hook', needsRoot, async t => {
  const creating = overHost()
    .hooks({
      createRuntime: [({ pid }) => void process.kill(pid as number, 'SIGKILL'), sh('sleep 100')],
    })
    .create()
  await t.rejects(creating, { name: 'CofferdamError', code: 'ERR_INIT_DIED' })
})

t.test('output: the last of much', needsRoot, async t => {
  const script = 'i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done >&2; exit 1'
  for (const point of ['prestart', 'createContainer'] as const) {
    const error = (await overHost()
      .hooks({ [point]: sh(script) })
      .create()
      .catch(e => e)) as Error
    t.match(error.message, /29998\n29999$/)
    t.ok(error.message.length < 4300)
  }
})

t.test('the same description again, and no hooks of another’s', needsRoot, async t => {
  const order: string[] = []
  const builder = (name: string) => overHost().hooks({ prestart: () => void order.push(name) })
  const a = builder('a')
  for (const description of [a, a, builder('b'), overHost()])
    await (await description.create()).delete()
  t.same(order, ['a', 'a', 'b'])
  t.match(a.explain(), /prestart hooks[\s\S]*pivot/)
})

t.test('what can be no hook is refused', async t => {
  const refused = (hooks: unknown, option: string) =>
    t.throws(() => new Container().hooks(hooks as object), { code: 'ERR_INVALID_OPTION', option })
  refused(null, 'hooks')
  refused({ before: [] }, 'hooks.before')
  refused({ prestart: 'x' }, 'hooks.prestart[0]')
  refused({ prestart: [sh(''), {}] }, 'hooks.prestart[1].path')
  refused({ poststop: { path: 'sh' } }, 'hooks.poststop[0].path')
  refused({ poststop: { path: '/x\0' } }, 'hooks.poststop[0].path')
  refused({ poststop: { path: '/x', args: [] } }, 'hooks.poststop[0].args')
  refused({ poststop: { path: '/x', args: [1] } }, 'hooks.poststop[0].args')
  refused({ poststop: { path: '/x', env: ['x'] } }, 'hooks.poststop[0].env')
  refused({ poststop: { path: '/x', env: { 'a=': 'b' } } }, 'hooks.poststop[0].env')
  refused({ poststop: { path: '/x', env: { a: 1 } } }, 'hooks.poststop[0].env.a')
  refused({ poststop: { path: '/x', timeout: 0 } }, 'hooks.poststop[0].timeout')
  refused({ poststop: { path: '/x', timeout: '1 year' } }, 'hooks.poststop[0].timeout')
  refused({ poststop: { path: '/x', cwd: '/' } }, 'hooks.poststop[0].cwd')
  t.throws(() => new Container().annotations({ a: 1 } as never), {
    code: 'ERR_INVALID_OPTION',
    option: 'annotations',
  })
  t.throws(() => new Container().bundle(''), { code: 'ERR_INVALID_OPTION', option: 'bundle' })
})

t.test('programs are plain data, functions are known as what they are', async t => {
  const { addHooks, hasFunctionHooks } = await import('#lib/container/hooks.js')
  const programs = addHooks(undefined, {
    prestart: { path: '/x', timeout: '1s' },
    poststop: [sh('')],
  })
  t.strictSame(JSON.parse(JSON.stringify(programs)), programs)
  t.notOk(hasFunctionHooks({ hooks: programs }))
  t.notOk(hasFunctionHooks({ hooks: undefined }))
  const both = addHooks(programs, { prestart: () => undefined })
  t.ok(hasFunctionHooks({ hooks: both }))
  t.ok(hasFunctionHooks({ hooks: both }, ['prestart']))
  t.notOk(hasFunctionHooks({ hooks: both }, ['poststop']))
})

t.test('nothing is left behind', needsRoot, nothingLeft)
