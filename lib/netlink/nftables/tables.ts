import { onlyKeys } from '../../base/index.js'
import { attribute, attributes, be32, be64, bytes, flagSet, text } from '../codec/index.js'
import { checkComment, checkFamily, checkName } from './checks.js'
import type { Family } from './names.js'
import { readUserdata, writeUserdata } from './userdata.js'
import { familyName, nfFormat } from './wire.js'

const tableFlags = { dormant: 1, owner: 2, persist: 4 } as const

/** A table: what chains, sets and objects are in. */
export interface TableOptions {
  /** What packets it sees: `inet` is IPv4 and IPv6. */
  family: Family
  name: string
  /** `dormant`: its chains see no packets; `owner`: it goes with the socket that made it. */
  flags?: readonly (keyof typeof tableFlags | number)[]
  /** At most 128 bytes, as nft(8) shows it. */
  comment?: string
  /** What else is kept with it, in the form of nft(8)'s. */
  userdata?: Uint8Array
}

/** A table as the kernel has it. */
export interface Table extends Readonly<TableOptions> {
  readonly handle: bigint
  /** So many chains, sets and objects are in it. */
  readonly use: number
}

const NAME = text(256)

export const tableFormat = nfFormat(
  attributes({
    name: attribute('NFTA_TABLE_NAME', 1, NAME),
    flags: attribute('NFTA_TABLE_FLAGS', 2, flagSet(tableFlags, be32)),
    use: attribute('NFTA_TABLE_USE', 3, be32),
    handle: attribute('NFTA_TABLE_HANDLE', 4, be64),
    userdata: attribute('NFTA_TABLE_USERDATA', 6, bytes),
    owner: attribute('NFTA_TABLE_OWNER', 7, be32),
  }),
)

export function tableBody(option: string, options: TableOptions) {
  onlyKeys(option, options, ['family', 'name', 'flags', 'comment', 'userdata', 'handle', 'use'])
  checkFamily(option, options.family)
  checkName(`${option}.name`, options.name)
  checkComment(option, options.comment)
  return {
    name: options.name,
    flags: options.flags,
    userdata: writeUserdata(options.comment, options.userdata),
  }
}

export function tableOf(found: ReturnType<typeof tableFormat.read>): Table {
  const { family, name = '', flags = [], use = 0, handle = 0n, userdata } = found
  return {
    family: familyName(family),
    name,
    handle,
    use,
    ...(flags.length > 0 ? { flags } : {}),
    ...readUserdata(userdata),
  }
}
