import { nativeFacts } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  named,
  O_CLOEXEC,
  O_PATH,
  OPEN_HOW_SIZE,
  openHow,
  RESOLVE_IN_ROOT,
  slot,
  step,
} from '../plan/index.js'
import { ownPidfd } from './namespaces.js'
import { firstLine } from './proc.js'
import type { Finding, Group } from './trial.js'

// _IOWR(0xFF, 11, struct pidfd_info), of which the first version has 64 bytes.
const PIDFD_GET_INFO = named('PIDFD_GET_INFO', 0xc040ff0b)

/** How init came to be what it is; the first start has decided it. */
async function fromMemory(): Promise<Finding | undefined> {
  if (nativeFacts().initSealed) return undefined
  return {
    ok: 'partly',
    detail: `no: init is an unlinked file; vm.memfd_noexec is ${firstLine('/proc/sys/vm/memfd_noexec') ?? 'unknown'}`,
    remedy: 'sysctl -w vm.memfd_noexec=0 before the program starts',
  }
}

/** What starting a process, and speaking to it, takes. */
export function processes(): Group {
  const [pid, pidfd] = [slot('pid'), slot('pidfd')]
  const own = step('pidfd', ...ownPidfd(pid, pidfd))
  const how = openHow([O_PATH, O_CLOEXEC], [RESOLVE_IN_ROOT])
  const remedy = 'no container can be started here: clone3(2), execveat(2)'
  return {
    group: 'processes',
    trials: [
      { name: 'start init', nested: false, try: [], remedy },
      { name: 'execute from memory', nested: false, try: fromMemory },
      { name: 'pidfd_open', nested: false, try: [own] },
      {
        name: 'pidfd_send_signal',
        nested: false,
        try: [own, step('signal', call('pidfd_send_signal', [pidfd, 0, 0, 0]))],
      },
      {
        name: 'pidfd_getfd',
        nested: false,
        try: [own, step('fetch', call('pidfd_getfd', [pidfd, pidfd, 0]))],
      },
      {
        name: 'PIDFD_GET_INFO',
        nested: false,
        try: [
          own,
          step(
            'info',
            call('ioctl', [pidfd, PIDFD_GET_INFO, { bytes: Buffer.alloc(64), text: '{}' }]),
          ),
        ],
        remedy: 'since Linux 6.13; done without before',
      },
      {
        name: 'openat2',
        nested: false,
        try: [step('open', call('openat2', [AT_FDCWD, '/', how, OPEN_HOW_SIZE]))],
      },
      {
        name: 'close_range',
        nested: false,
        try: [step('close', call('close_range', [1000, 2000, 0]))],
      },
    ],
  }
}
