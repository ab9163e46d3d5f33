import { cgroups } from 'cofferdam'
import * as fc from 'fast-check'
import t from 'tap'
import { listWrites, setOfList } from '#lib/cgroups/device-list.js'
import { checkDeviceRules } from '#lib/cgroups/device-rules.js'
import { deviceSet, rulesOf } from '#lib/cgroups/device-set.js'
import { allAccesses, allows, type Rule, someRules } from '../support/devices.js'

const { allowsDevice, defaultDeviceRules, normalDeviceRules } = cgroups
const setOf = (rules: readonly (Rule | string)[]) => deviceSet(checkDeviceRules('rules', rules))

t.test('the normal form of rules comes to the same', async t => {
  fc.assert(
    fc.property(someRules, rules => {
      const normal = normalDeviceRules(rules)
      t.same(normalDeviceRules(normal), normal)
      return allAccesses.every(access => allows(normal, access) === allows(rules, access))
    }),
    { numRuns: 1000 },
  )
  t.same(normalDeviceRules([]), [])
  t.same(normalDeviceRules(['a']), [{ allow: true, type: 'a', access: 'rwm' }])
  t.same(normalDeviceRules([{ allow: true }, { allow: false, type: 'b', access: 'mw' }]), [
    { allow: true, type: 'b', access: 'r' },
    { allow: true, type: 'c', access: 'rwm' },
  ])
})

t.test('equal sets of rules have the same', async t => {
  const ways = [
    ['c 1:3 rwm', 'c 1:5 r'],
    ['c 1:5 r', 'c 1:3 r', 'c 1:3 wm'],
    ['b *:* r', { allow: false, type: 'b' as const }, 'c 1:5 r', 'c 1:3 rwm'],
    ['c 1:* r', { allow: false, major: 1 }, 'c 1:3 rwm', 'c 1:5 r'],
  ]
  for (const way of ways) t.same(normalDeviceRules(way), normalDeviceRules(ways[0] as string[]))
})

t.test('the default is what containers need', async t => {
  const may = (type: 'b' | 'c', major: number, minor: number, access: string) =>
    allowsDevice(defaultDeviceRules, { type, major, minor, access })
  for (const minor of [3, 5, 7, 8, 9]) t.ok(may('c', 1, minor, 'rwm'), `1:${minor}`)
  for (const minor of [0, 1, 2]) t.ok(may('c', 5, minor, 'rwm'), `5:${minor}`)
  t.ok(may('c', 136, 77, 'rwm'), 'pseudoterminals')
  t.ok(may('b', 8, 0, 'm') && may('c', 10, 200, 'm'), 'any may be made')
  t.notOk(may('b', 8, 0, 'r'), 'a disk')
  t.notOk(may('c', 1, 1, 'r'), 'memory')
  t.notOk(may('c', 10, 229, 'rw'), 'FUSE')
})

t.test('what is no rule is refused', async t => {
  const cases: [unknown, string][] = [
    [undefined, 'devices'],
    ['c 1:3 rwm', 'devices'],
    [[null], 'devices[0]'],
    [['c 1:3'], 'devices[0]'],
    [['d 1:3 r'], 'devices[0]'],
    [['c 1:3 rwx'], 'devices[0]'],
    [['c 1:3 r\n'], 'devices[0]'],
    [['c 4096:3 r'], 'devices[0].major'],
    [[{ allow: true, minor: 1048576 }], 'devices[0].minor'],
    [[{ allow: true, minor: -1 }], 'devices[0].minor'],
    [[{ allow: true, major: 1.5 }], 'devices[0].major'],
    [[{ allow: true, major: '1' }], 'devices[0].major'],
    [[{ type: 'c' }], 'devices[0].allow'],
    [[{ allow: 'yes' }], 'devices[0].allow'],
    [['a', { allow: true, type: 'u' }], 'devices[1].type'],
    [[{ allow: true, access: '' }], 'devices[0].access'],
    [[{ allow: true, path: '/dev/null' }], 'devices[0].path'],
    [Array(1025).fill('a'), 'devices'],
    [Array.from({ length: 128 }, (_, i) => (i % 2 ? `c ${i}:* r` : `c *:${i} r`)), 'devices'],
  ]
  for (const [rules, option] of cases)
    t.throws(() => normalDeviceRules(rules as never), { code: 'ERR_INVALID_OPTION', option })
  fc.assert(
    fc.property(fc.anything(), rules => {
      try {
        normalDeviceRules(rules as never)
      } catch (error) {
        return (error as { code?: string }).code === 'ERR_INVALID_OPTION'
      }
      return true
    }),
  )
})

/** Files devices.allow and devices.deny, as cgroup-v1/devices.rst and the kernel have them. */
class Emulator {
  allowsAll = true
  exceptions = new Map<string, Set<string>>()

  write(file: string, value: string): void {
    const allow = file === 'devices.allow'
    if (value === 'a') {
      this.allowsAll = allow
      this.exceptions.clear()
      return
    }
    const [type, device, access] = value.split(' ') as [string, string, string]
    const key = `${type} ${device}`
    const has = this.exceptions.get(key) ?? new Set()
    for (const letter of access) {
      if (allow === this.allowsAll) has.delete(letter)
      else has.add(letter)
    }
    this.exceptions.set(key, has)
    if (has.size === 0) this.exceptions.delete(key)
  }

  get list(): string {
    if (this.allowsAll) return 'a *:* rwm\n'
    const lines = [...this.exceptions].map(([key, has]) => `${key} ${[...has].join('')}\n`)
    return lines.join('')
  }

  allows({ type, major, minor, access }: cgroups.DeviceAccess): boolean {
    const matching = [...this.exceptions].flatMap(([key, has]) => {
      const [of, numbers] = key.split(' ') as [string, string]
      const [a, b] = numbers.split(':')
      const fits = of === type && (a === '*' || a === `${major}`) && (b === '*' || b === `${minor}`)
      return fits ? [has] : []
    })
    if (this.allowsAll) return !matching.some(has => [...access].some(letter => has.has(letter)))
    return matching.some(has => [...access].every(letter => has.has(letter)))
  }
}

t.test('a list of version 1 comes to the rules, from any before it', async t => {
  let expressible = 0
  fc.assert(
    fc.property(someRules, someRules, fc.boolean(), (first, second, hidden) => {
      const kernel = new Emulator()
      for (const rules of [first, second]) {
        const writes = listWrites('/x', kernel.list, setOf(rules), hidden)
        if (writes === undefined) continue
        expressible++
        for (const { path, value } of writes) kernel.write(path.slice(3), value)
        const wrong = allAccesses.find(access => kernel.allows(access) !== allows(rules, access))
        if (wrong !== undefined) throw new Error(JSON.stringify([wrong, writes]))
        if (!kernel.allowsAll) t.same(rulesOf(setOfList(kernel.list)), normalDeviceRules(rules))
      }
    }),
    { numRuns: 1000 },
  )
  t.ok(expressible > 500, `${expressible} times it could be said`)
})

t.test('from one list to another nothing is refused that both allow', async () => {
  fc.assert(
    fc.property(someRules, someRules, (first, second) => {
      const kernel = new Emulator()
      const before = listWrites('/x', kernel.list, setOf(first))
      if (before === undefined || before[0]?.value !== 'a') return
      for (const { path, value } of before) kernel.write(path.slice(3), value)
      const after = listWrites('/x', kernel.list, setOf(second))
      if (kernel.allowsAll || after === undefined || after.some(({ value }) => value === 'a'))
        return
      const both = allAccesses.filter(access => allows(first, access) && allows(second, access))
      for (const { path, value } of after) {
        kernel.write(path.slice(3), value)
        if (!both.every(access => kernel.allows(access))) throw new Error(value)
      }
    }),
    { numRuns: 1000 },
  )
})

t.test('version 1 can’t take a device out of many that it allows', async t => {
  const out: Rule = { allow: false, type: 'c', major: 1, minor: 3 }
  t.equal(listWrites('/x', '', setOf(['c 1:* rw', out])), undefined)
  t.equal(listWrites('/x', '', setOf(['a', out])), undefined)
  t.same(
    listWrites('/x', '', setOf(['a', out]), true)?.map(({ path, value }) => [path, value]),
    [
      ['/x/devices.allow', 'a'],
      ['/x/devices.deny', 'c 1:3 rwm'],
    ],
  )
})

t.test('any list is read', async () => {
  fc.assert(fc.property(fc.string(), text => void setOfList(text)))
  const line = fc.constantFrom('a *:* rwm', 'c 1:3 rw', 'b *:* m', 'c 4294967295:1 r', 'x', 'c 1:3')
  fc.assert(fc.property(fc.array(line), lines => void setOfList(lines.join('\n'))))
})
