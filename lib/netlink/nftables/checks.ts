import { invalidOption, show, wordOption } from '../../base/index.js'
import { type Family, families } from './names.js'
import { COMMENT_MAX } from './userdata.js'

const NAME_MAX = 255
const KNOWN = Object.keys(families).filter(name => name !== 'unspec')

export function checkFamily(option: string, family: unknown): asserts family is Family {
  wordOption(`${option}.family`, family, KNOWN)
}

export function checkName(option: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > NAME_MAX)
    throw invalidOption(option, `${show(name)} is no name of 1 to ${NAME_MAX} bytes`)
}

export function checkComment(option: string, comment: unknown): void {
  if (comment === undefined) return
  const good = typeof comment === 'string' && !comment.includes('\0')
  if (!good || Buffer.byteLength(comment) >= COMMENT_MAX)
    throw invalidOption(
      `${option}.comment`,
      `${show(comment)} is no text of less than ${COMMENT_MAX} bytes`,
    )
}

/** Refuses what has not what tells where it belongs. */
export function checkPlace(option: string, of: { family: unknown; table: unknown }): void {
  checkFamily(option, of.family)
  checkName(`${option}.table`, of.table)
}
