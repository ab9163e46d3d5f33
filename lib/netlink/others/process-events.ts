import {
  CofferdamError,
  type Descriptor,
  nativeError,
  onlyKeys,
  signalOption,
} from '../../base/index.js'
import { call, hostStep } from '../../plan/index.js'
import { runHost } from '../../run/index.js'
import { attributes, eachMessage, format, message, struct, u32 } from '../codec/index.js'
import { failed } from '../failure.js'
import { Monitor } from '../monitor.js'
import { openSocketIn } from '../protocols.js'
import { receive } from '../receive.js'
import { connector, type ProcessEvent, readProcessEvent } from './process-format.js'

/** CN_IDX_PROC and CN_VAL_PROC: process events, of all that the connector has. */
const PROCESSES = 1
const LISTEN = 1
const IGNORE = 2
const NLMSG_DONE = 3
const OPERATION_SIZE = 4

/** struct cn_msg with enum proc_cn_mcast_op. */
const control = format(struct({ connector, operation: u32 }), attributes({}))

function say(descriptor: Descriptor, operation: number): void {
  const { bytes } = message('PROC_CN_MCAST', NLMSG_DONE, 0, control, {
    connector: { index: PROCESSES, value: PROCESSES, length: OPERATION_SIZE },
    operation,
  })
  runHost(
    hostStep('process events', call('write', [descriptor.fd, { bytes, text: '…' }, bytes.length])),
  )
}

class ProcessMonitor extends Monitor<ProcessEvent> {
  readonly #socket: Descriptor

  constructor(socket: Descriptor, signal: AbortSignal | undefined) {
    super(
      socket,
      (bytes, { start, end }) => {
        const told = readProcessEvent(bytes, start, end)
        return told?.kind === 'none' ? undefined : told
      },
      signal,
    )
    this.#socket = socket
  }

  protected override closing(): void {
    try {
      // Kernels before 6.6 count who listens, and do not notice that a socket is closed.
      say(this.#socket, IGNORE)
    } catch {
      // It is closed in any case.
    }
    super.closing()
  }
}

/**
 * What processes of the machine come and go: forks, execs, exits and more, from now on. The kernel
 * tells only a program in the first user, PID and network namespace, that has CAP_NET_ADMIN.
 * Equivalent to: `forkstat -e all`
 *
 * ```ts
 * for await (const event of await netlink.processEvents({ signal }))
 *   if (event.kind === 'exec') console.log(event.pid)
 * ```
 *
 * @param options `signal`: ends it.
 * @throws CofferdamError `ERR_UNSUPPORTED` in other namespaces, and where the kernel has been built
 * without CONFIG_PROC_EVENTS; `EPERM`.
 */
export async function processEvents(
  options: { signal?: AbortSignal } = {},
): Promise<Monitor<ProcessEvent>> {
  onlyKeys('processEvents', options, ['signal'])
  const signal = signalOption('processEvents: signal', options.signal)
  let socket: Descriptor
  try {
    socket = await openSocketIn(undefined, 'connector', [PROCESSES])
  } catch (error) {
    throw unsupported(error)
  }
  try {
    await listens(socket)
    return new ProcessMonitor(socket, signal)
  } catch (error) {
    socket.close()
    throw error
  }
}

/** Asks for events, and looks whether the kernel says that they will come: it does so at once. */
async function listens(socket: Descriptor): Promise<void> {
  try {
    say(socket, LISTEN)
  } catch (error) {
    throw unsupported(nativeError('process events', error))
  }
  const found = receive(socket.fd)
  let error: number | undefined
  if (found !== null && found !== 'lost')
    eachMessage(found, ({ start, end }) => {
      const told = readProcessEvent(found, start, end)
      if (told?.kind === 'none') error ??= told.error
    })
  if (error === undefined) throw unsupported()
  if (error !== 0) throw failed('PROC_CN_MCAST_LISTEN', error)
}

function unsupported(cause?: unknown): CofferdamError {
  const { code } = (cause ?? {}) as { code?: string }
  if (code === 'EPERM') return cause as CofferdamError
  return new CofferdamError('there are no events of processes here', {
    code: 'ERR_UNSUPPORTED',
    hint: 'they take the first user, PID and network namespace, and a kernel with CONFIG_PROC_EVENTS',
    cause,
  })
}
