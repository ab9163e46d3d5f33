import { cgroups } from 'cofferdam'
import * as fc from 'fast-check'
import t from 'tap'
import {
  decodeProgram,
  deviceProgram,
  encodeProgram,
  type Instruction,
} from '#lib/cgroups/device-program.js'
import { checkDeviceRules } from '#lib/cgroups/device-rules.js'
import { deviceSet } from '#lib/cgroups/device-set.js'
import { type Access, allAccesses, allows, someRules } from '../support/devices.js'

const { defaultDeviceRules } = cgroups
const compile = (rules: Parameters<typeof cgroups.normalDeviceRules>[0]) =>
  deviceProgram(deviceSet(checkDeviceRules('rules', rules)))

/** Runs a program as the kernel's documentation says; throws at what it does not know. */
function interpret(program: readonly Instruction[], asked: Access): number {
  const type = asked.type === 'b' ? 1 : 2
  const bits = { m: 1, r: 2, w: 4 } as Record<string, number>
  const access = [...asked.access].reduce((all, letter) => all | (bits[letter] as number), 0)
  const context = [(access << 16) | type, asked.major, asked.minor]
  const registers: (number | undefined)[] = []
  const value = (register: number) => {
    const held = registers[register]
    if (held === undefined) throw new Error(`r${register} holds nothing`)
    return held
  }
  for (let at = 0; ; at++) {
    const one = program[at]
    if (one === undefined) throw new Error('it runs out')
    switch (one.code) {
      case 0x61:
        registers[one.to] = context[one.jump / 4] as number
        break
      case 0xb7:
        registers[one.to] = one.value
        break
      case 0xbf:
        registers[one.to] = value(one.from)
        break
      case 0x57:
        registers[one.to] = value(one.to) & one.value
        break
      case 0x77:
        registers[one.to] = value(one.to) >>> one.value
        break
      case 0x55:
        if (value(one.to) !== one.value) at += one.jump
        break
      case 0x45:
        if ((value(one.to) & one.value) !== 0) at += one.jump
        break
      case 0x95:
        return value(0)
      default:
        throw new Error(`operation ${one.code}`)
    }
  }
}

t.test('a program decides as the rules do', async () => {
  fc.assert(
    fc.property(someRules, rules => {
      const program = compile(rules)
      for (const access of allAccesses) {
        const expected = allows(rules, access)
        if ((interpret(program, access) === 1) !== expected) return false
        if (cgroups.allowsDevice(rules, access) !== expected) return false
      }
      return true
    }),
    { numRuns: 1000 },
  )
})

t.test('every instruction of it can be reached, as the kernel wants it', async () => {
  fc.assert(
    fc.property(someRules, rules => {
      const program = compile(rules)
      const reached = new Set<number>()
      const follow = (start: number) => {
        for (let at = start; !reached.has(at); at++) {
          reached.add(at)
          const { code, jump } = program[at] as Instruction
          if (code === 0x95) return
          if (code === 0x55 || code === 0x45) follow(at + 1 + jump)
        }
      }
      follow(0)
      return reached.size === program.length
    }),
    { numRuns: 1000 },
  )
})

t.test('what one has been made of can be read from it', async t => {
  fc.assert(
    fc.property(someRules, rules => {
      const set = deviceSet(checkDeviceRules('rules', rules))
      t.same(decodeProgram(encodeProgram(deviceProgram(set))), set)
    }),
    { numRuns: 300 },
  )
  const program = encodeProgram(compile(defaultDeviceRules))
  fc.assert(
    fc.property(fc.nat(program.length - 1), fc.nat(255), (at, byte) => {
      const other = Buffer.from(program)
      other[at] = byte
      const set = decodeProgram(other)
      return set === undefined || encodeProgram(deviceProgram(set)).equals(other)
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      decodeProgram(bytes)
    }),
  )
})

t.test('no more is looked at than decides', async t => {
  t.equal(compile(['a']).length, 3, 'all')
  t.equal(compile([]).length, 2, 'nothing')
  t.same(compile(['b 60:* rw', 'a']), compile(['a']), 'what a later rule says anyway')
  t.same(compile(['c 1:3 r', 'c 1:3 w']), compile(['c 1:3 rw']), 'two of one device')
  t.same(compile(['c *:3 rwm', 'c 1:3 rwm']), compile(['c *:3 rwm']), 'one that another has in it')
  t.ok(compile(defaultDeviceRules).length < 60)
  const many = Array.from({ length: 1024 }, (_, i) => `c ${i}:${i} rw`)
  t.ok(compile(many).length < 2 ** 15)
})
