import { invalidOption, textOption } from '../../base/index.js'

// Names of units; systemd.unit(5), "Description" and "String Escaping for Inclusion in Unit Names".

/** A unit that a group is to be. */
export interface UnitName {
  kind: 'scope' | 'slice'
  /** As `cofferdam-demo.scope`. */
  name: string
  /** That it is in; undefined for who decides that by its own name, or of a slice's. */
  slice: string | undefined
}

/** What this package's units are called by, as its groups are below `/cofferdam` elsewhere. */
const PREFIX = 'cofferdam'
/** Most bytes of a name; UNIT_NAME_MAX. */
const MOST = 255

const SCOPE = '.scope'
const SLICE = '.slice'

/** In a slice's name `-` stands for `/`, so that it is escaped too. */
function escaped(part: string, dash: boolean): string {
  const texts = [...Buffer.from(part)].map((byte, i) => {
    const text = String.fromCharCode(byte)
    const plain =
      /[A-Za-z0-9:_.-]/.test(text) && !(i === 0 && text === '.') && !(dash && text === '-')
    return plain ? text : `\\x${byte.toString(16).padStart(2, '0')}`
  })
  return texts.join('')
}

/**
 * The unit for a group's name: `demo` is `cofferdam-demo.scope`, `web/demo` is
 * `cofferdam-web-demo.scope` in `cofferdam-web.slice`; a name of a unit, `demo.scope` or
 * `judges.slice`, is taken as it is.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`
 */
export function unitName(option: string, name: string, slice: unknown): UnitName {
  const within = slice === undefined ? undefined : sliceOption(`${option}.slice`, slice)
  if (name.endsWith(SLICE)) {
    if (within !== undefined)
      throw invalidOption(
        `${option}.slice`,
        "a slice's own name says where it is: a-b.slice is in a.slice",
      )
    return { kind: 'slice', name: sliceOption('path', name), slice: undefined }
  }
  if (name.endsWith(SCOPE) && !name.includes('/'))
    return { kind: 'scope', name: checked('path', name), slice: within }
  const parts = name.split('/')
  const parents = [PREFIX, ...parts.slice(0, -1)].map(part => escaped(part, true))
  const unit = `${[...parents, escaped(parts.at(-1) as string, false)].join('-')}${SCOPE}`
  const parent = parts.length > 1 ? `${parents.join('-')}${SLICE}` : undefined
  if (parent !== undefined && within !== undefined)
    throw invalidOption(
      `${option}.slice`,
      `the name ${JSON.stringify(name)} says already where it is`,
    )
  return { kind: 'scope', name: checked('path', unit), slice: within ?? parent }
}

function checked(option: string, name: string): string {
  if (name.length > MOST) throw invalidOption(option, `${name} is longer than ${MOST} characters`)
  if (!/^[A-Za-z0-9:_.\\@-]+\.(scope|slice)$/.test(name) || name.startsWith('.'))
    throw invalidOption(option, `${JSON.stringify(name)} is no name of a unit; systemd-escaped(1)`)
  return name
}

/** `system.slice`, `machine-judges.slice`. */
function sliceOption(option: string, value: unknown): string {
  const name = checked(option, textOption(option, value))
  const stem = name.slice(0, -SLICE.length)
  if (!name.endsWith(SLICE) || stem.startsWith('-') || stem.endsWith('-') || stem.includes('--'))
    throw invalidOption(option, `${JSON.stringify(name)} is no name of a slice; systemd.slice(5)`)
  return name
}
