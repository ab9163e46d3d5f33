import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CofferdamError, userName } from '../base/index.js'
import { attempt } from '../container/index.js'
import { kinds, subordinateIds, writeMap } from '../namespaces/index.js'
import { call, step } from '../plan/index.js'
import { dumpable, ownUserNamespace } from './steps.js'
import type { Finding, Group, Trial } from './trial.js'

const run = promisify(execFile)
const RANGE = { containerId: 0, hostId: 100_000, size: 65_536 }

/** What a helper needs, and what to do where it is missing. */
interface Helper {
  program: 'newuidmap' | 'newgidmap'
  file: string
  id: number
  option: string
}

/** Has newuidmap(1) or newgidmap(1) write the map of a process that waits for it. */
function byHelper({ program, file, id, option }: Helper): Trial {
  const write = async (): Promise<Finding | undefined> => {
    const [range] = subordinateIds(file, userName() ?? `${id}`, id) ?? []
    if (range === undefined)
      throw new CofferdamError(`${file} has no line for this user`, {
        code: 'ENOENT',
        path: file,
        hint: `usermod ${option} 100000-165535 ${userName() ?? id}`,
      })
    const { hostId, size = 1 } = range
    const map = ['0', `${id}`, '1', '1', `${hostId}`, `${size}`]
    await attempt([
      dumpable,
      step('user namespace', call('unshare', [kinds.user.flag])),
      {
        side: 'waiting',
        name: program,
        run: async ({ pid }) => {
          await run(program, [`${pid}`, ...map], { timeout: 2000 }).catch(helperFailed(program))
        },
      },
    ])
    return { detail: `${size} from ${hostId}` }
  }
  return { name: `a range, by ${program}`, nested: false, try: write }
}

function helperFailed(program: string) {
  return (cause: NodeJS.ErrnoException & { stderr?: string }): never => {
    const missing = cause.code === 'ENOENT'
    const said = missing ? 'is not installed' : (cause.stderr ?? cause.message).trim()
    throw new CofferdamError(missing ? `${program} ${said}` : said, {
      code: missing ? 'ENOENT' : 'EPERM',
      path: program,
      hint: missing
        ? 'apt-get install uidmap'
        : `${program} must be set-user-ID root or have file capabilities, and no_new_privs be off`,
      cause,
    })
  }
}

/** Which ids a user namespace can be given. */
export function ids(): Group {
  const uid = process.geteuid?.() ?? 0
  const gid = process.getegid?.() ?? 0
  return {
    group: 'ids',
    trials: [
      { name: 'own id as root', nested: false, try: [ownUserNamespace()] },
      {
        name: 'a range, written directly',
        nested: false,
        try: [
          dumpable,
          step('user namespace', call('unshare', [kinds.user.flag])),
          {
            side: 'waiting',
            name: 'id maps',
            run: ({ pid }) => {
              for (const side of ['uid', 'gid'] as const) writeMap(side, pid, [RANGE])
            },
          },
        ],
        remedy: 'needs CAP_SETUID and CAP_SETGID; an ordinary user has newuidmap do it',
      },
      byHelper({ program: 'newuidmap', file: '/etc/subuid', id: uid, option: '--add-subuids' }),
      byHelper({ program: 'newgidmap', file: '/etc/subgid', id: gid, option: '--add-subgids' }),
    ],
  }
}
