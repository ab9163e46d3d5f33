import { writeFileSync } from 'node:fs'
import { CofferdamError, requireProcfs } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  O_CLOEXEC,
  O_WRONLY,
  slot,
  step,
  type WaitingStep,
} from '../plan/index.js'
import { dumpable, OOM_SCORE_HINT } from '../run/index.js'

/**
 * Whom the kernel kills first when memory runs out, -1000 to 1000. init writes
 * it for itself, in the proc that it sees: this is for a time when that is the
 * host's, and nobody else's namespaces have been joined. Only then its files in
 * proc may belong to its user, who is to write to them. proc_pid_oom_score_adj(5);
 * `EACCES` for less than before without CAP_SYS_RESOURCE.
 * Equivalent to: `choom --adjust N -- …`
 */
export function oomScoreStep(adjust: number): InitStep {
  const file = slot('oom_score_adj')
  const path = '/proc/self/oom_score_adj'
  return step(
    'OOM score',
    dumpable(true),
    call('openat', [AT_FDCWD, path, flags(O_WRONLY, O_CLOEXEC)], { result: file }),
    call('write', [file, `${adjust}`, `${adjust}`.length]),
    dumpable(false),
  )
}

/**
 * The same done by the host while init waits: in the container's own proc, anything
 * could lie in this place.
 */
export function oomScoreFromHost(adjust: number): WaitingStep {
  return {
    side: 'waiting',
    name: 'OOM score',
    run({ pid }) {
      requireProcfs()
      const path = `/proc/${pid}/oom_score_adj`
      try {
        writeFileSync(path, `${adjust}`)
      } catch (cause) {
        const { code = 'EIO', errno = 0, syscall } = cause as NodeJS.ErrnoException
        throw new CofferdamError(`${path}: ${code}`, {
          code,
          errno: -errno,
          syscall,
          path,
          ...(code === 'EACCES' ? { hint: OOM_SCORE_HINT } : {}),
          cause,
        })
      }
    },
  }
}
