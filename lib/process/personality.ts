import { invalidOption, keyOption, onlyKeys } from '../base/index.js'
import { call, flags, type InitStep, named, step } from '../plan/index.js'

// linux/personality.h
const domains = { linux: named('PER_LINUX', 0), linux32: named('PER_LINUX32', 8) } as const

const personalityFlags = {
  uname26: named('UNAME26', 0x0020000),
  'addr-no-randomize': named('ADDR_NO_RANDOMIZE', 0x0040000),
  'fdpic-funcptrs': named('FDPIC_FUNCPTRS', 0x0080000),
  'mmap-page-zero': named('MMAP_PAGE_ZERO', 0x0100000),
  'addr-compat-layout': named('ADDR_COMPAT_LAYOUT', 0x0200000),
  'read-implies-exec': named('READ_IMPLIES_EXEC', 0x0400000),
  'addr-limit-32bit': named('ADDR_LIMIT_32BIT', 0x0800000),
  'short-inode': named('SHORT_INODE', 0x1000000),
  'whole-seconds': named('WHOLE_SECONDS', 0x2000000),
  'sticky-timeouts': named('STICKY_TIMEOUTS', 0x4000000),
  'addr-limit-3gb': named('ADDR_LIMIT_3GB', 0x8000000),
} as const satisfies Record<PersonalityFlag, object>

export type PersonalityFlag =
  | 'uname26'
  | 'addr-no-randomize'
  | 'fdpic-funcptrs'
  | 'mmap-page-zero'
  | 'addr-compat-layout'
  | 'read-implies-exec'
  | 'addr-limit-32bit'
  | 'short-inode'
  | 'whole-seconds'
  | 'sticky-timeouts'
  | 'addr-limit-3gb'

/** What `personality` takes; personality(2). */
export interface PersonalityOptions {
  /** `'linux32'`: uname(2) tells of a 32-bit machine. Default: `'linux'`. */
  domain?: keyof typeof domains
  /** As setarch(8) has them: `'addr-no-randomize'` is `--addr-no-randomize`. */
  flags?: readonly PersonalityFlag[]
}

/** {@link PersonalityOptions}, checked. */
export interface Personality {
  domain: keyof typeof domains
  flags: readonly PersonalityFlag[]
}

/** @throws CofferdamError `ERR_INVALID_OPTION`, as for `personality.domain`. */
export function parsePersonality(options: PersonalityOptions): Personality {
  onlyKeys('personality', options, ['domain', 'flags'])
  const { domain = 'linux', flags: wanted = [] } = options
  keyOption('personality.domain', domain, domains)
  if (!Array.isArray(wanted)) throw invalidOption('personality.flags', 'must be a list')
  for (const flag of wanted) keyOption('personality.flags', flag, personalityFlags)
  return { domain, flags: [...wanted] }
}

/**
 * How the kernel shows itself to this process, instead of how it did to the
 * host's. personality(2). Equivalent to: `setarch linux32 --addr-no-randomize …`
 */
export function personalityStep({ domain, flags: set }: Personality): InitStep {
  const all = flags(domains[domain], ...set.map(flag => personalityFlags[flag]))
  return step('personality', call('personality', [all]))
}
