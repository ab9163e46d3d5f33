import {
  type ChildProcess,
  execFileSync,
  type SpawnOptions,
  spawn,
  spawnSync,
} from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Container, type mounts as m } from 'cofferdam'
import { TRUE, type Workbench } from './rootfs.js'

/** Something that starts a program and waits for its end; gives milliseconds. */
export interface Contender {
  name: string
  version?: string
  run(): Promise<number>
  /** Why it does not run here, if that is so. */
  refusal?(): string | undefined
  close?(): void
}

const now = () => performance.now()

export function spawned(
  command: string,
  args: string[],
  options: SpawnOptions = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const begin = now()
    const child = spawn(command, args, { stdio: 'ignore', ...options })
    child.on('error', reject)
    child.on('exit', code => {
      if (code === 0) resolve(now() - begin)
      else reject(new Error(`${command} ${args.join(' ')}: exit code ${code}`))
    })
  })
}

/** The default container, with or without a network namespace. */
export function cofferdam(bench: Workbench, network: boolean, mounts: m.Mount[] = []): Contender {
  const container = () => {
    const builder = new Container().rootfs(bench.rootfs).mount(...mounts)
    return network ? builder : builder.isolate('mount', 'pid', 'uts', 'ipc', 'cgroup')
  }
  return {
    name: `cofferdam, ${network ? 'with' : 'no'} network namespace`,
    async run() {
      const begin = now()
      const box = await container().create()
      const main = await box.start([TRUE], { stdio: 'ignore' })
      const { exitCode } = await main.exited
      const end = now()
      await box.delete()
      if (exitCode !== 0) throw new Error(`exit code ${exitCode}`)
      return end - begin
    },
  }
}

/** The same system calls from plain C; see bench/peer.c. */
export function plainC(bench: Workbench, network: boolean, binds = 0, source = '/'): Contender {
  return clocked(`plain C, ${network ? 'with' : 'no'} network namespace`, bench.program('peer'), [
    bench.rootfs,
    TRUE,
    network ? 'network' : 'no-network',
    ...(binds > 0 ? [`${binds}`, source] : []),
  ])
}

/** A program that works once for each byte of its input, and prints microseconds. */
export function clocked(name: string, program: string, args: string[]): Contender {
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  let settle: ((milliseconds: number) => void) | undefined
  lines.on('line', line => settle?.(Number(line) / 1000))
  return {
    name,
    run: () =>
      new Promise(resolve => {
        settle = resolve
        child.stdin?.write('x')
      }),
    close: () => child.stdin?.end(),
  }
}

export function childProcess(bench: Workbench): Contender {
  return { name: 'child_process.spawn', run: () => spawned(join(bench.rootfs, TRUE), []) }
}

export function versionOf(command: string): string | undefined {
  try {
    return execFileSync(command, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .split('\n')[0]
      ?.trim()
  } catch {
    return undefined
  }
}

export function bubblewrap(bench: Workbench): Contender | undefined {
  const version = versionOf('bwrap')
  if (version === undefined) return undefined
  const args = [
    '--unshare-all',
    '--bind',
    bench.rootfs,
    '/',
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    TRUE,
  ]
  return { name: 'bwrap --unshare-all', version, run: () => spawned('bwrap', args) }
}

/**
 * runc or crun, with a bundle of the same root and the same namespaces.
 *
 * @param resources Limits, as `linux.resources` of the OCI has them.
 */
export function ociRuntime(
  bench: Workbench,
  command: 'runc' | 'crun',
  resources?: object,
): Contender | undefined {
  const version = versionOf(command)
  if (version === undefined) return undefined
  const name = resources === undefined ? command : `${command}-limits`
  const bundle = bundleFor(bench, name, [TRUE], resources)
  let number = 0
  const args = () => {
    const id = `bench-${process.pid}-${number++}`
    return ['--root', join(bundle, 'state'), 'run', '--bundle', bundle, id]
  }
  return {
    name: `${command} run${resources === undefined ? '' : ' with limits'}`,
    version,
    run: () => spawned(command, args()),
    refusal() {
      const { status, stderr } = spawnSync(command, args(), { encoding: 'utf8' })
      return status === 0 ? undefined : stderr.trim()
    },
  }
}

/** A bundle of the bench's root, to run `args` in. */
export function bundleFor(
  bench: Workbench,
  name: string,
  args: string[],
  resources?: object,
): string {
  const bundle = join(bench.folder, name)
  mkdirSync(bundle)
  writeFileSync(
    join(bundle, 'config.json'),
    JSON.stringify(ociConfig(bench.rootfs, args, resources)),
  )
  return bundle
}

/** A configuration as `runc spec` writes it; without limits unless told (crun refuses a hybrid host's). */
function ociConfig(rootfs: string, args: string[], resources?: object): object {
  const capabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']
  const nosuid = ['nosuid', 'noexec', 'nodev']
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/bin'],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    root: { path: rootfs, readonly: false },
    hostname: 'bench',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...nosuid, 'mode=1777'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: nosuid },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...nosuid, 'ro'] },
    ],
    linux: {
      ...(resources === undefined ? {} : { resources }),
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map(type => ({ type })),
      maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}
