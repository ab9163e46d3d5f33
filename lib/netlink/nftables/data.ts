import {
  type Attributes,
  attribute,
  attributes,
  be32,
  bytes,
  type Codec,
  oneOf,
  text,
} from '../codec/index.js'
import { verdicts } from './names.js'

/** A verdict; `chain` is where `jump` and `goto` go. A number is one without a name. */
export interface Verdict {
  readonly code: keyof typeof verdicts | number
  readonly chain?: string | undefined
}

const verdict = attributes({
  code: attribute('NFTA_VERDICT_CODE', 1, oneOf(verdicts, be32)),
  chain: attribute('NFTA_VERDICT_CHAIN', 2, text(256)),
})

const data = attributes({
  value: attribute('NFTA_DATA_VALUE', 1, bytes),
  verdict: attribute('NFTA_DATA_VERDICT', 2, verdict),
})

/** What is put into a register, compared with, or found in a map: bytes, or a verdict. */
export interface Data {
  readonly value?: Uint8Array | undefined
  readonly verdict?: Verdict | undefined
}
export const dataCodec = data as unknown as Attributes<Data>

/** Bytes, as the kernel wants them where there may be a verdict elsewhere. */
export const valueCodec: Codec<Uint8Array> = {
  write: (to, value) => data.write(to, { value }),
  read: (from, start, end) => data.read(from, start, end).value ?? new Uint8Array(),
  inside: data.inside,
}

/**
 * A register's number: 1 to 4 are of 16 bytes, 8 to 23 the same ones by parts of 4 bytes; 0 is
 * the verdict. The kernel gives the former number where there are two.
 */
export const register = be32
