import { fstatSync } from 'node:fs'
import { native } from '../base/index.js'
import { kinds } from '../namespaces/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  named,
  O_CLOEXEC,
  O_RDWR,
  type Operation,
  type Slot,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { dumpable as setDumpable } from '../process/index.js'

// Steps that several trials are made of.

/** Makes its own files in /proc its own again; those of a process that may not be dumped are root's. */
export const dumpable = step('be dumpable', setDumpable(true))

/** Writes to a file of the pseudo file systems in one call, as they want it. */
export function writeFile(path: string, text: string): Operation[] {
  const file = slot('file')
  const bytes = Buffer.from(text)
  return [
    call('openat', [AT_FDCWD, path, flags(O_RDWR, O_CLOEXEC)], { result: file }),
    call('write', [file, { bytes, text: JSON.stringify(text) }, bytes.length]),
  ]
}

/**
 * A user namespace in which the present user is root: what anyone may have where
 * user namespaces are permitted. Equivalent to: `unshare --user --map-root-user`
 */
export function ownUserNamespace(uid = process.geteuid?.(), gid = process.getegid?.()): InitStep {
  return step(
    'user namespace',
    ...dumpable.operations,
    call('unshare', [kinds.user.flag]),
    ...writeFile('/proc/self/setgroups', 'deny'),
    ...writeFile('/proc/self/uid_map', `0 ${uid} 1\n`),
    ...writeFile('/proc/self/gid_map', `0 ${gid} 1\n`),
  )
}

/** Tells the host the number that some operation has left in `value`: as the size of a file. */
export function tell(value: Slot, told: (number: number) => void): Step[] {
  const file = slot('file')
  return [
    step(
      'tell',
      call('memfd_create', ['number', named('MFD_CLOEXEC', 1)], { result: file }),
      call('ftruncate', [file, value]),
    ),
    {
      side: 'waiting',
      name: 'be told',
      send: file,
      run: ({ descriptor }) => {
        told(fstatSync(descriptor).size)
        native().close(descriptor)
      },
    },
  ]
}

/** Where {@link place} puts things: far from all that a static program has. */
export const PLACE = 0x10_0000_0000

const READ_WRITE = named('PROT_READ|PROT_WRITE', 0x3)
const PRIVATE_FIXED = named('MAP_PRIVATE|MAP_FIXED_NOREPLACE', 0x100002)

/**
 * Puts bytes at an address that is known beforehand, for calls that take a
 * structure with pointers in it. mmap(2)
 */
export function place(bytes: Uint8Array, text: string): Operation[] {
  const file = slot('memory')
  return [
    call('memfd_create', ['memory', named('MFD_CLOEXEC', 1)], { result: file }),
    call('write', [file, { bytes, text }, bytes.length]),
    call('mmap', [PLACE, 4096, READ_WRITE, PRIVATE_FIXED, file, 0]),
  ]
}
