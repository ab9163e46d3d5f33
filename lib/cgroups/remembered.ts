import { constants } from 'node:os'
import { type FileOperation, resultOf, runList, textOf } from './batch.js'
import { attachFirst, type Program } from './bpf.js'
import type { Created } from './create.js'
import type { DeviceRecipe } from './devices.js'
import type { GroupFolder, GroupFolders } from './folders.js'
import { type Hierarchy, hierarchiesNow } from './layout.js'
import type { PlannedGroup } from './make.js'
import { givenFolders, madeBy, operationsAbove, operationsBelow, unmake } from './make-below.js'
import { newGroupPath } from './names.js'
import { noteParents } from './parents.js'
import { kindOfList, type ListKind } from './quick.js'

// What made a group makes another one beside it, if that is to have the same: then nothing has to be
// looked at and worked out again. If it fails, the whole way is gone, and says what is wrong.

/** As many parents of groups, and for each as many sets of options, are remembered. */
const [MOST, MOST_EACH] = [32, 8]

/** Operations that make any group below one parent. */
interface Template {
  /** Of the group that was made. */
  planned: PlannedGroup
  operations: readonly FileOperation[]
  /** The list, with the new group's name between. */
  parts: readonly string[]
  kind: ListKind
  /** What the list of devices says, which is the first that is read. */
  devices: string | undefined
  program: Program | undefined
}

interface Remembered {
  /** Nobody else's copy. */
  options: object
  folders: readonly GroupFolder[]
  /** What was mounted then. */
  hierarchies: readonly Hierarchy[]
  below: Template
  /** For when the group above has gone. */
  withAbove: Template
}

const remembered = new Map<string, Remembered[]>()

const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/'))

/** A name that is written into the list as it is. */
const SIMPLE = /^\/[A-Za-z0-9_-]{1,64}$/

/**
 * Makes a group as one was made beside it with the same options; undefined, and nothing is made,
 * when there was none or it does not work.
 */
export async function makeAgain(path: string, options: object): Promise<GroupFolders | undefined> {
  if (typeof path !== 'string') return undefined
  const parent = parentOf(path)
  const known = remembered.get(parent)
  const name = path.slice(parent.length)
  if (known === undefined || !SIMPLE.test(name)) return undefined
  const found = known.find(each => isSame(each.options, options))
  if (found === undefined || found.hierarchies !== hierarchiesNow().hierarchies) return undefined
  newGroupPath('path', path)
  const folders = found.folders.map(
    (folder): GroupFolder => ({
      version: folder.version,
      controllers: folder.controllers,
      path: parentOf(folder.path) + name,
    }),
  )
  const group = { path, folders }
  let made = await makeBy(found.below, group, name)
  if (made === ORPHAN) made = await makeBy(found.withAbove, group, name)
  return made === ORPHAN ? undefined : made
}

/** The group above is not there. */
const ORPHAN = Symbol('orphan')

async function makeBy(
  template: Template,
  { path, folders }: GroupFolders,
  name: string,
): Promise<GroupFolders | typeof ORPHAN | undefined> {
  const { planned, operations, parts, kind, devices } = template
  const answers = await runList(parts.join(name), kind)
  const { texts, errno, syscall } = answers
  const isAsBefore = errno === undefined && (devices === undefined || texts[0] === devices)
  const given = isAsBefore ? givenFolders(folders, texts, planned.making) : undefined
  if (given !== undefined && isAttached(folders, template)) {
    const group = { path, folders: given }
    if (isAbove(operations[0]?.path as string, planned)) noteParents(made(), group)
    return group
  }
  await unmake(made())
  return errno === ENOENT && syscall === 'mkdir' ? ORPHAN : undefined

  function made(): string[] {
    const all = madeBy(operations, resultOf(operations, answers).answers)
    return all.map(each => (isAbove(each, planned) ? each : parentOf(each) + name))
  }
}

const { ENOENT } = constants.errno

/** Whether a folder is of a group above. */
const isAbove = (folder: string, { folders }: GroupFolders) =>
  folders.every(({ path }) => path !== folder)

function isAttached(folders: readonly GroupFolder[], { program }: Template): boolean {
  const unified = folders.find(({ version }) => version === 2)
  if (program === undefined) return true
  try {
    attachFirst(unified?.path as string, program)
    return true
  } catch {
    return false
  }
}

/**
 * Remembers how a group was made.
 *
 * @param options A copy that nobody else has.
 */
export function remember(options: object, { planned, recipe }: Created): void {
  const { hierarchies } = hierarchiesNow()
  const { path, folders, making } = planned
  // Another time there might be more to have, for who may more.
  const whole = hierarchies.every(
    each =>
      planned.hierarchies.includes(each) ||
      (making.controllers === undefined ? each.name !== undefined : each.version === 1),
  )
  if (recipe === undefined || planned.guesses || making.threaded || !whole) return
  const { writes, list } = recipe
  const reads: FileOperation[] = list === undefined ? [] : [{ kind: 'read', path: list.path }]
  const below = operationsBelow(folders, [...planned.writes, ...writes], reads)
  const parent = parentOf(path)
  const known = (remembered.get(parent) ?? []).filter(each => !isSame(each.options, options))
  known.unshift({
    options,
    folders,
    hierarchies,
    below: templateOf(below, planned, recipe),
    withAbove: templateOf([...operationsAbove(planned), ...below], planned, recipe),
  })
  remembered.delete(parent)
  remembered.set(parent, known.slice(0, MOST_EACH))
  const [oldest] = remembered.keys()
  if (remembered.size > MOST && oldest !== undefined) remembered.delete(oldest)
}

function templateOf(
  operations: readonly FileOperation[],
  planned: PlannedGroup,
  { list, program }: DeviceRecipe,
): Template {
  const parts = ['']
  const add = (text: string) => parts.push(`${parts.pop()}${text}`)
  for (const operation of operations) {
    const { path } = operation
    const [before, after] = textOf(operation)
    const folder = planned.folders.find(each => `${path}/`.startsWith(`${each.path}/`))?.path
    add(before)
    if (folder === undefined) add(path)
    else {
      add(parentOf(folder))
      parts.push(path.slice(folder.length))
    }
    add(after)
  }
  return {
    planned,
    operations,
    parts,
    kind: kindOfList(operations),
    devices: list?.text,
    program,
  }
}

/** Whether options are the same throughout. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  const keys = Object.keys(a)
  const others = Object.keys(b)
  return (
    keys.length === others.length &&
    keys.every((key, i) => key === others[i] && isSame(a[key as never], b[key as never]))
  )
}
