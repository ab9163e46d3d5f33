import { invalidOption, onlyKeys, show } from '../base/index.js'
import { call, type InitStep, named, type Operation, step } from '../plan/index.js'

/**
 * The session keyring, which its processes find keys in; session-keyring(7).
 * `'new'`, the default, is an empty one of its own. `{ name }` is that of this
 * name of the same user and user namespace, made if there is none. `'inherit'` is
 * that of this program, with all keys that it can read.
 */
export type Keyring = 'new' | 'inherit' | { name: string }

// linux/keyctl.h
const KEYCTL_JOIN_SESSION_KEYRING = named('KEYCTL_JOIN_SESSION_KEYRING', 1)
const KEYCTL_SETPERM = named('KEYCTL_SETPERM', 5)
const KEY_SPEC_SESSION_KEYRING = named('KEY_SPEC_SESSION_KEYRING', 0xfffffffd) // -3
// All to who has it; to its user view, read, search and link: it takes search to
// find it by its name.
const PERMISSIONS = named(
  'KEY_POS_ALL|KEY_USR_VIEW|KEY_USR_READ|KEY_USR_SEARCH|KEY_USR_LINK',
  0x3f1b0000,
)

const LONGEST_NAME = 255

/** @throws CofferdamError `ERR_INVALID_OPTION`, as for `keyring.name`. */
export function parseKeyring(keyring: Keyring): Keyring {
  if (keyring === 'new' || keyring === 'inherit') return keyring
  if (typeof keyring === 'string')
    throw invalidOption('keyring', `${show(keyring)} is none; 'new', 'inherit' and { name } are`)
  onlyKeys('keyring', keyring, ['name'])
  const { name } = keyring
  // The kernel keeps those with a dot to itself.
  if (typeof name !== 'string' || name === '' || /^\.|\0/.test(name))
    throw invalidOption('keyring.name', 'must be a text that does not begin with a dot')
  if (Buffer.byteLength(name) > LONGEST_NAME)
    throw invalidOption('keyring.name', `has more than ${LONGEST_NAME} bytes`)
  return { name }
}

/**
 * Leaves the session keyring, whose keys a program could read, for a new one
 * without name. An outer container's filter may forbid it, and with it any use
 * of keys. keyctl(2)
 */
export function newKeyring(): Operation {
  return call('keyctl', [KEYCTL_JOIN_SESSION_KEYRING, 0], { tolerate: ['ENOSYS', 'EPERM'] })
}

/**
 * Exchanges the session keyring for another one: joins the one of this name if
 * its user may search it, and makes it otherwise. keyctl(2)
 * KEYCTL_JOIN_SESSION_KEYRING; `EDQUOT` when the user has too many keys.
 * Equivalent to: `keyctl session NAME`
 */
export function keyringStep(keyring: 'new' | { name: string }): InitStep {
  if (keyring === 'new') return step('keyring', newKeyring())
  return step(
    'keyring',
    call('keyctl', [KEYCTL_JOIN_SESSION_KEYRING, keyring.name]),
    // One that was there may be another user's, who has decided about it.
    call('keyctl', [KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, PERMISSIONS], {
      tolerate: ['EACCES', 'EPERM'],
    }),
  )
}
