import { cgroups } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'

const {
  blkioWeightFromIo,
  cpuSharesFromWeight,
  cpuWeightFromShares,
  ioWeightFromBlkio,
  swapFromTogether,
  togetherFromSwap,
} = cgroups

t.test('CPU shares become weights as runc has it', async t => {
  // Known from its own tests: both ends, both defaults, and beyond the ends.
  const known = { 0: 1, 1: 1, 2: 1, 1024: 100, 262144: 10000, 262145: 10000, 5e6: 10000 }
  for (const [shares, weight] of Object.entries(known))
    t.equal(cpuWeightFromShares(Number(shares)), weight, shares)
})

t.test('every weight is read back from the shares that were made of it', async t => {
  for (let weight = 1; weight <= 10_000; weight++)
    if (cpuWeightFromShares(cpuSharesFromWeight(weight)) !== weight) t.fail(`${weight}`)
  t.equal(cpuSharesFromWeight(100), 1024)
  t.equal(cpuSharesFromWeight(1), 2)
  t.equal(cpuSharesFromWeight(10_000), 262_144)
})

t.test('more shares are never less weight, and the way back gives the most of them', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 262_143 }), shares => {
      const weight = cpuWeightFromShares(shares)
      const most = cpuSharesFromWeight(weight)
      return (
        weight <= cpuWeightFromShares(shares + 1) &&
        most >= shares &&
        cpuWeightFromShares(most) === weight &&
        (most === 262_144 || cpuWeightFromShares(most + 1) > weight)
      )
    }),
    { numRuns: 2000 },
  )
})

t.test('weights of block I/O, and back', async t => {
  t.same([10, 100, 500, 1000].map(ioWeightFromBlkio), [1, 910, 4950, 10_000])
  for (let weight = 10; weight <= 1000; weight++)
    if (blkioWeightFromIo(ioWeightFromBlkio(weight)) !== weight) t.fail(`${weight}`)
  // The other way the scale is coarser: by no more than a step of it.
  for (let weight = 1; weight <= 10_000; weight++)
    if (Math.abs(ioWeightFromBlkio(blkioWeightFromIo(weight)) - weight) > 10.1) t.fail(`${weight}`)
})

t.test('swap alone, and together with memory', async t => {
  const size = fc.oneof(fc.constant('max' as const), fc.integer({ min: 0, max: 2 ** 40 }))
  fc.assert(
    fc.property(size, size, (memory, swap) => {
      const together = togetherFromSwap(memory, swap)
      return together === undefined
        ? memory === 'max' && swap !== 'max'
        : swapFromTogether(memory, together) === swap
    }),
  )
  t.equal(swapFromTogether(10, 5), undefined)
  t.equal(swapFromTogether('max', 5), undefined)
})
