import { ALL, ANY } from './device-rules.js'
import type { Cell, DeviceSet } from './device-set.js'

// A program for the kernel's virtual machine, which looks at each access to a device:
// BPF_PROG_TYPE_CGROUP_DEVICE, bpf(2). It gets a structure of three 32-bit numbers, the kind
// of access above the type, the major and the minor number (struct bpf_cgroup_dev_ctx), and
// ends with 1 if that is allowed. Instructions are of eight bytes: operation, registers,
// how far to jump, and a number.

const LOAD = 0x61 // BPF_LDX|BPF_W|BPF_MEM
const COPY = 0xbf // BPF_ALU64|BPF_MOV|BPF_X
const SET = 0xb7 // BPF_ALU64|BPF_MOV|BPF_K
const AND = 0x57 // BPF_ALU64|BPF_AND|BPF_K
const SHIFT = 0x77 // BPF_ALU64|BPF_RSH|BPF_K
const UNLESS = 0x55 // BPF_JMP|BPF_JNE|BPF_K
const IF_ANY = 0x45 // BPF_JMP|BPF_JSET|BPF_K
const EXIT = 0x95 // BPF_JMP|BPF_EXIT

const RESULT = 0
const CONTEXT = 1
const TYPE = 2
const ACCESS = 3
const MAJOR = 4
const MINOR = 5

/** One instruction. */
export interface Instruction {
  code: number
  to: number
  from: number
  jump: number
  value: number
}

const SIZE = 8

const one = (code: number, to = 0, value = 0, { from = 0, jump = 0 } = {}): Instruction => ({
  code,
  to,
  from,
  jump,
  value,
})

/** linux/bpf.h `BPF_DEVCG_DEV_*` */
const types = { b: 1, c: 2 } as const

/**
 * Compiles a set of rules: each cell once, the most particular first, grouped by major numbers,
 * so that whoever uses a device of another one passes all of it at a time.
 */
export function deviceProgram(set: DeviceSet): Instruction[] {
  const alike = JSON.stringify(set.b) === JSON.stringify(set.c)
  const body = alike
    ? section(set.c)
    : [...skipUnless(TYPE, types.b, section(set.b)), ...skipUnless(TYPE, types.c, section(set.c))]
  const has = (register: number) => body.some(({ code, to }) => isTest(code) && to === register)
  return [
    ...(has(TYPE) || has(ACCESS) ? [one(LOAD, TYPE, 0, { from: CONTEXT })] : []),
    ...(has(ACCESS) ? [one(COPY, ACCESS, 0, { from: TYPE }), one(SHIFT, ACCESS, 16)] : []),
    ...(has(TYPE) ? [one(AND, TYPE, 0xffff)] : []),
    ...(has(MAJOR) ? [one(LOAD, MAJOR, 0, { from: CONTEXT, jump: 4 })] : []),
    ...(has(MINOR) ? [one(LOAD, MINOR, 0, { from: CONTEXT, jump: 8 })] : []),
    one(SET, RESULT, 0),
    ...body,
    ...(alike ? [] : [one(EXIT)]), // what is neither is refused
  ]
}

const isTest = (code: number) => code === UNLESS || code === IF_ANY

/** Instructions that are for one value of a register. */
function skipUnless(register: number, value: number, inner: Instruction[]): Instruction[] {
  return [one(UNLESS, register, value, { jump: inner.length }), ...inner]
}

function section(cells: readonly Cell[]): Instruction[] {
  const majors = [...new Set(cells.map(({ major }) => major))].filter(major => major !== ANY)
  const code = majors
    .sort((a, b) => a - b)
    .flatMap(major => {
      const group = cells.filter(cell => cell.major === major)
      return skipUnless(MAJOR, major, group.flatMap(ofMinor))
    })
  return [...code, ...cells.filter(({ major }) => major === ANY).flatMap(ofMinor)]
}

function ofMinor({ minor, bits }: Cell): Instruction[] {
  return minor === ANY ? verdict(bits) : skipUnless(MINOR, minor, verdict(bits))
}

/** The end: allowed if nothing but these bits is asked for. The result is 0 so far. */
function verdict(bits: number): Instruction[] {
  const allow = [one(SET, RESULT, 1), one(EXIT)]
  if (bits === ALL) return allow
  if (bits === 0) return [one(EXIT)]
  return [one(IF_ANY, ACCESS, ALL & ~bits, { jump: 1 }), ...allow]
}

/** As the kernel takes them: struct bpf_insn, in the order of the machine. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * SIZE)
  program.forEach(({ code, to, from, jump, value }, i) => {
    bytes[i * SIZE] = code
    bytes[i * SIZE + 1] = to | (from << 4)
    bytes.writeInt16LE(jump, i * SIZE + 2)
    bytes.writeInt32LE(value, i * SIZE + 4)
  })
  return bytes
}

/**
 * What a program of the kernel's allows, if it is one that {@link deviceProgram} makes:
 * nothing is believed that would not come to the same bytes.
 */
export function decodeProgram(bytes: Uint8Array): DeviceSet | undefined {
  const view = Buffer.from(bytes)
  if (view.length === 0 || view.length % SIZE !== 0) return undefined
  const program: Instruction[] = []
  for (let at = 0; at < view.length; at += SIZE) {
    const registers = view[at + 1] as number
    program.push({
      code: view[at] as number,
      to: registers & 15,
      from: registers >> 4,
      jump: view.readInt16LE(at + 2),
      value: view.readInt32LE(at + 4),
    })
  }
  const set = read(program)
  if (set === undefined) return undefined
  return encodeProgram(deviceProgram(set)).equals(view) ? set : undefined
}

/** Sections begin with a test of the type, if there are several. */
function read(program: readonly Instruction[]): DeviceSet | undefined {
  let at = program.findIndex(({ code, to }) => code === SET && to === RESULT) + 1
  if (at === 0) return undefined
  const found: Partial<Record<'b' | 'c', Cell[]>> = {}
  for (const type of ['b', 'c'] as const) {
    const test = program[at]
    if (test?.code !== UNLESS || test.to !== TYPE) break
    found[type] = readSection(program.slice(at + 1, at + 1 + test.jump))
    at += 1 + test.jump
  }
  const { b, c } = found
  if (b !== undefined && c !== undefined) return inOrder(b, c)
  const all = readSection(program.slice(at))
  return inOrder(all, all)
}

function readSection(code: readonly Instruction[]): Cell[] {
  const cells: Cell[] = []
  let major = { value: ANY, end: 0 }
  let minor = { value: ANY, end: 0 }
  for (let at = 0; at < code.length; at++) {
    if (at >= major.end) major = { value: ANY, end: 0 }
    if (at >= minor.end) minor = { value: ANY, end: 0 }
    const { code: operation, to, jump, value } = code[at] as Instruction
    if (operation === UNLESS) {
      if (to === MAJOR) major = { value, end: at + 1 + jump }
      else minor = { value, end: at + 1 + jump }
      continue
    }
    const bits = operation === EXIT ? 0 : operation === SET ? ALL : ALL & ~value
    cells.push({ major: major.value, minor: minor.value, bits })
    at += operation === EXIT ? 0 : operation === SET ? 1 : 2
  }
  return cells
}

/** Cells as a set has them: the program has them by major numbers. */
function inOrder(b: readonly Cell[], c: readonly Cell[]): DeviceSet | undefined {
  const sorted = (cells: readonly Cell[]) => {
    const rank = ({ major, minor }: Cell) => (major === ANY ? 2 : 0) + (minor === ANY ? 1 : 0)
    return [...cells].sort((x, y) => rank(x) - rank(y) || x.major - y.major || x.minor - y.minor)
  }
  if (b.length === 0 || c.length === 0) return undefined
  return { b: sorted(b), c: sorted(c) }
}
