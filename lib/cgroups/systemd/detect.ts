import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { invalidOption, show } from '../../base/index.js'
import { systemBus, userBus } from '../dbus/index.js'
import { layoutNow } from '../layout.js'

/** Who makes groups: systemd, as units, or this package itself, as folders. */
export type ManagerName = 'systemd' | 'cgroupfs'

/** Whose systemd: the system's, or this user's own, `systemctl --user`. */
export type Whose = 'system' | 'user'

/** Root has the system's, others their own. */
export const ownManager = (): Whose => (process.geteuid?.() === 0 ? 'system' : 'user')

/** Addresses where a manager may be called; undefined where there is none. sd_booted(3) */
export function managerAddress(whose: Whose): string | undefined {
  if (!existsSync('/run/systemd/system')) return undefined
  if (whose === 'system') return systemBus()
  return userBus() ?? `unix:path=${runtimeFolder()}/bus`
}

const runtimeFolder = () => process.env.XDG_RUNTIME_DIR ?? `/run/user/${process.geteuid?.()}`

/**
 * Which manager {@link Cgroup.create} takes for a name when nothing is said: systemd if it runs,
 * can be called, and the hierarchies that are seen here are its own; an ordinary user's, if
 * there is one. For absolute paths it is always `'cgroupfs'`.
 */
export function defaultManager(): ManagerName {
  const whose = ownManager()
  const owns = layoutNow().hierarchies.some(
    ({ mountPoint, readonly }) => !readonly && existsSync(join(mountPoint, 'init.scope')),
  )
  if (!owns || managerAddress(whose) === undefined) return 'cgroupfs'
  const folder = whose === 'system' ? '/run/systemd' : join(runtimeFolder(), 'systemd')
  // On which it listens for systemctl, bus or no bus.
  return existsSync(join(folder, 'private')) ? 'systemd' : 'cgroupfs'
}

/** The manager for a group of this name or path. @throws CofferdamError `ERR_INVALID_OPTION` */
export function managerOption(option: string, path: string, value: unknown): ManagerName {
  if (value === undefined) return path.startsWith('/') ? 'cgroupfs' : defaultManager()
  if (value !== 'systemd' && value !== 'cgroupfs')
    throw invalidOption(`${option}.manager`, `${show(value)} is none; 'systemd' and 'cgroupfs' are`)
  if (value === 'systemd' && path.startsWith('/'))
    throw invalidOption(
      'path',
      `${show(path)} is absolute; systemd takes a name, and a slice for its place`,
    )
  return value
}
