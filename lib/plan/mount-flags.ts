import { named } from './operation.js'

// Flags of mount(2) and umount2(2) that more than one subject uses; linux/mount.h.

export const MNT_DETACH = named('MNT_DETACH', 2)
export const MS_REC = named('MS_REC', 0x4000)
export const MS_UNBINDABLE = named('MS_UNBINDABLE', 1 << 17)
export const MS_PRIVATE = named('MS_PRIVATE', 1 << 18)
export const MS_SLAVE = named('MS_SLAVE', 1 << 19)
export const MS_SHARED = named('MS_SHARED', 1 << 20)
