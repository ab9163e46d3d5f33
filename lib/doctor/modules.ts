import { readSync } from 'node:fs'
import { native } from '../base/index.js'
import { attempt } from '../container/index.js'
import { call, named, slot, step } from '../plan/index.js'
import { textOf } from './proc.js'
import { PLACE } from './steps.js'

/** LSM_ID_… of linux/lsm.h, from 100 on. */
const names = [
  'capability',
  'selinux',
  'smack',
  'tomoyo',
  'apparmor',
  'yama',
  'loadpin',
  'safesetid',
  'lockdown',
  'bpf',
  'landlock',
  'ima',
  'evm',
  'ipe',
]

const SHARED_FIXED = named('MAP_SHARED|MAP_FIXED_NOREPLACE', 0x100001)
const SIZE = 4096
const IDS = 8 // where they begin, behind the size

/** The security modules in their order; null where nothing tells. */
export async function securityModules(): Promise<string[] | null> {
  const listed = textOf('/sys/kernel/security/lsm')?.trim()
  if (listed) return listed.split(',')
  try {
    return await askKernel()
  } catch {
    return null
  }
}

/** lsm_list_modules(2) into memory that both sides have. Linux 6.8 */
async function askKernel(): Promise<string[]> {
  const memory = slot('memory')
  const size = Buffer.alloc(4)
  size.writeUInt32LE(SIZE - IDS)
  const answer = Buffer.alloc(SIZE)
  await attempt([
    step(
      'security modules',
      call('memfd_create', ['modules', named('MFD_CLOEXEC', 1)], { result: memory }),
      call('write', [memory, { bytes: size, text: `[${SIZE - IDS}]` }, size.length]),
      call('ftruncate', [memory, SIZE]),
      call('mmap', [PLACE, SIZE, named('PROT_READ|PROT_WRITE', 3), SHARED_FIXED, memory, 0]),
      call('lsm_list_modules', [PLACE + IDS, PLACE, 0]),
    ),
    {
      side: 'waiting',
      name: 'read them',
      send: memory,
      run: ({ descriptor }) => {
        readSync(descriptor, answer, 0, SIZE, 0)
        native().close(descriptor)
      },
    },
  ])
  const count = answer.readUInt32LE(0) / 8
  return Array.from({ length: count }, (_, i) => {
    const id = Number(answer.readBigUInt64LE(IDS + 8 * i))
    return names[id - 100] ?? `${id}`
  })
}
