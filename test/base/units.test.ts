import fc from 'fast-check'
import t from 'tap'
import { parseDuration, parseSize } from '#lib/base/index.js'

t.test('sizes', async t => {
  for (const [text, bytes] of [
    [0, 0],
    [4096, 4096],
    ['17', 17],
    ['17B', 17],
    ['64MiB', 64 << 20],
    ['64 MiB', 64 << 20],
    ['1.5KiB', 1536],
    ['2kB', 2000],
    ['3GB', 3e9],
    ['1TiB', 2 ** 40],
  ] as const)
    t.equal(parseSize('x', text), bytes, `${text}`)
  for (const wrong of [
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    '',
    'MiB',
    '-1MiB',
    '1 mib',
    '1e3',
    '0x10',
    '9999999TiB',
  ])
    t.throws(
      () => parseSize('limits.memory', wrong),
      { code: 'ERR_INVALID_OPTION', option: 'limits.memory' },
      `${wrong}`,
    )
})

t.test('any text is a size or a typed error', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double()), value => {
      try {
        const bytes = parseSize('x', value)
        return Number.isSafeInteger(bytes) && bytes >= 0
      } catch (error) {
        return (error as { code?: string }).code === 'ERR_INVALID_OPTION'
      }
    }),
  )
})

t.test('durations', async t => {
  for (const [text, time] of [
    [250, 250],
    ['250', 250],
    ['250ms', 250],
    ['10s', 10_000],
    ['1.5 m', 90_000],
    ['2h', 7_200_000],
    [0, 0],
  ] as const)
    t.equal(parseDuration('x', text), time, `${text}`)
  for (const wrong of [
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 31,
    '',
    '10 days',
    's',
    '-1s',
    null,
  ])
    t.throws(() => parseDuration('stop.timeout', wrong as string), {
      code: 'ERR_INVALID_OPTION',
      option: 'stop.timeout',
    })
})
