import { dirname, join } from 'node:path'
import { readPseudoFile } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type HostStep,
  type InitStep,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  Placeholder,
  type Slot,
  slot,
  step,
} from '../plan/index.js'
import { given } from '../run/index.js'
import type { Program } from './bpf.js'
import { listWrites } from './device-list.js'
import { isEverything } from './device-set.js'
import { ALL_ALLOWED, type Devices, devicePlaces, inexpressible, programOf } from './devices.js'
import type { FileWrite } from './files.js'
import type { GroupFolders } from './folders.js'
import { NAME_MAX } from './names.js'

/** How a process in a group of its own comes to keep to rules on devices. */
export interface DeviceEntry {
  /** For {@link making}: what is written when the group is made, on version 1. */
  writes: FileWrite[]
  /** Hands the program to it. */
  host: HostStep[]
  /** Right after those that get it into its group, where it still has the host's rights. */
  steps: InitStep[]
}

/**
 * For groups that are made by {@link making}: what makes them keep to rules from their
 * beginning. Of the paths of `group`, the last part is the placeholder `name`.
 *
 * @throws CofferdamError as {@link Cgroup.setDevices}.
 */
export function deviceEntry(group: GroupFolders, { set }: Devices, name = 'group'): DeviceEntry {
  const { old, unified } = devicePlaces(group)
  const writes = old && listWrites(old.path, inherited(old.path), set, unified === undefined)
  if (writes !== undefined) return { writes, host: [], steps: [] }
  if (unified === undefined) throw inexpressible(old?.path ?? group.path)
  if (isEverything(set)) return { writes: [], host: [], steps: [] }
  const program = programOf(set)
  const own = slot('device-program')
  const hand = given(program.fd, own)
  users.set(hand, program)
  return { writes: [], host: [hand], steps: [attachStep(unified.path, name, own)] }
}

/** As long as a step is there, the descriptor that it names is. */
const users = new WeakMap<HostStep, Program>()

/** What a new group has of the one above it. */
function inherited(path: string): string {
  for (let up = dirname(path); ; up = dirname(up)) {
    const list = readPseudoFile(join(up, 'devices.list'))
    if (list !== undefined || up === '/') return list ?? ALL_ALLOWED
  }
}

// Descriptors whose numbers a structure can name, before there are any.
const GROUP = 250
const PROGRAM = 251

/** init attaches the program to its group; bpf(2) `BPF_PROG_ATTACH`. */
function attachStep(path: string, name: string, program: Slot): InitStep {
  const folder = slot('group')
  const at = new Placeholder(name, NAME_MAX, path.slice(0, path.lastIndexOf('/') + 1))
  const attributes = Buffer.alloc(20)
  for (const [i, value] of [GROUP, PROGRAM, CGROUP_DEVICE, ALLOW_MULTI].entries())
    attributes.writeUInt32LE(value, 4 * i)
  const text = '{<group>, <device-program>, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI}'
  return step(
    'devices',
    call('openat', [AT_FDCWD, at, flags(O_RDONLY, O_DIRECTORY, O_CLOEXEC)], { result: folder }),
    call('dup3', [folder, GROUP, O_CLOEXEC]),
    call('dup3', [program, PROGRAM, O_CLOEXEC]),
    call('bpf', [named('BPF_PROG_ATTACH', 8), { bytes: attributes, text }, attributes.length]),
    call('close', [GROUP]),
    call('close', [PROGRAM]),
  )
}

const CGROUP_DEVICE = 6
const ALLOW_MULTI = 2
