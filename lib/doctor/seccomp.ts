import { attempt } from '../container/index.js'
import {
  call,
  flags,
  type InitStep,
  type Named,
  named,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { noNewPrivilegesStep } from '../process/index.js'
import { firstLine } from './proc.js'
import { PLACE, place, tell } from './steps.js'
import type { Finding, Group } from './trial.js'

const SET_MODE_FILTER = named('SECCOMP_SET_MODE_FILTER', 1)
const NEW_LISTENER = named('SECCOMP_FILTER_FLAG_NEW_LISTENER', 1 << 3)
const WAIT_KILLABLE = named('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV', 1 << 5)
const RET_ALLOW = 0x7fff0000
const BPF_RET_K = 0x06
const LANDLOCK_CREATE_RULESET_VERSION = named('LANDLOCK_CREATE_RULESET_VERSION', 1)

/** A filter that allows everything, with these flags. seccomp(2) */
function filter(...set: Named[]): InitStep {
  const program = Buffer.alloc(8) // struct sock_filter
  program.writeUInt16LE(BPF_RET_K, 0)
  program.writeUInt32LE(RET_ALLOW, 4)
  const header = Buffer.alloc(16) // struct sock_fprog
  header.writeUInt16LE(1, 0)
  header.writeBigUInt64LE(BigInt(PLACE), 8)
  return step(
    'filter',
    ...place(program, '[return ALLOW]'),
    call('seccomp', [SET_MODE_FILTER, flags(...set), { bytes: header, text: '{1, …}' }]),
  )
}

const withFilter = (...set: Named[]): Step[] => [noNewPrivilegesStep(), filter(...set)]

async function actions(): Promise<Finding | undefined> {
  await attempt(withFilter())
  const available = firstLine('/proc/sys/kernel/seccomp/actions_avail')
  return available === undefined ? undefined : { detail: available }
}

async function landlock(): Promise<Finding | undefined> {
  const version = slot('version')
  let abi = 0
  const ask = call('landlock_create_ruleset', [0, 0, LANDLOCK_CREATE_RULESET_VERSION], {
    result: version,
  })
  await attempt([step('landlock', ask), ...tell(version, number => (abi = number))])
  return { detail: `ABI ${abi}` }
}

/** What a program can be kept from by filters and rules of its own. */
export function filters(): Group {
  return {
    group: 'filters',
    trials: [
      {
        name: 'seccomp',
        nested: false,
        try: actions,
        remedy: 'a kernel with CONFIG_SECCOMP_FILTER',
      },
      {
        name: 'seccomp notifications',
        nested: false,
        try: withFilter(NEW_LISTENER),
        remedy: 'there can be one listener only: an outer container’s filter may have it',
      },
      {
        name: 'seccomp notifications, killable wait',
        nested: false,
        try: withFilter(NEW_LISTENER, WAIT_KILLABLE),
        remedy: 'since Linux 5.19; done without before',
      },
      {
        name: 'Landlock',
        nested: false,
        try: landlock,
        remedy:
          'a kernel with CONFIG_SECURITY_LANDLOCK, and "landlock" among lsm= of its command line',
      },
    ],
  }
}
