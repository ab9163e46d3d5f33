import { readFileSync, readlinkSync } from 'node:fs'
import { CofferdamError, namespaces, plan } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { errandSteps, job, openFile, readText } from '#lib/run/index.js'
import { needsContainers, rememberTraces } from '../support/index.js'
import { needsTime } from '../support/processes.js'

const nothingLeft = await rememberTraces()
const { checkTimeOffsets, newTime } = namespaces
const enter = plan.step('first process', plan.sibling())

/** Reads files in a new time namespace. */
async function inTime(offsets: namespaces.TimeOffsets, ...paths: string[]): Promise<string[]> {
  const read = paths.map(path => errandSteps(readText(path)))
  const checked = checkTimeOffsets('timeOffsets', offsets)
  await job('tell the time', [newTime(checked), enter, ...read.flatMap(({ steps }) => steps)])
  return read.map(({ answer }) => answer())
}

const uptime = (text: string | undefined) => Number(text?.split(' ')[0])

t.test('an offset is milliseconds, text, or its parts', async t => {
  const parsed = (offset: namespaces.TimeOffset) => {
    const { seconds, nanoseconds } = checkTimeOffsets('o', { monotonic: offset }).monotonic ?? {}
    return [seconds, nanoseconds]
  }
  t.same(parsed(1500), [1, 500_000_000])
  t.same(parsed(-500), [-1, 500_000_000])
  t.same(parsed('1d'), [86_400, 0])
  t.same(parsed('-1.5h'), [-5400, 0])
  t.same(parsed('2m'), [120, 0])
  t.same(parsed('+7 s'), [7, 0])
  t.same(parsed('3ms'), [0, 3_000_000])
  t.same(parsed({ seconds: -3 }), [-3, 0])
  t.same(parsed({ seconds: 9_223_372_036, nanoseconds: 999_999_999 }), [9_223_372_036, 999_999_999])
  t.same(checkTimeOffsets('o', {}), {})
})

t.test('what is none is refused', async t => {
  for (const offset of [
    'soon',
    '1w',
    '--1s',
    '',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    9_223_372_037_000,
    { seconds: 1.5 },
    { seconds: 1, nanoseconds: 1e9 },
    { seconds: 1, nanoseconds: -1 },
    { second: 1 },
    null,
    true,
  ])
    t.throws(
      () => checkTimeOffsets('o', { boottime: offset as string }),
      { code: 'ERR_INVALID_OPTION', option: /^o\.boottime/ },
      JSON.stringify(offset),
    )
  t.throws(() => checkTimeOffsets('o', { realtime: 1 } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'o.realtime',
  })
})

t.test('any text is an offset or an error of ours', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double(), fc.anything()), offset => {
      try {
        const { monotonic } = checkTimeOffsets('o', { monotonic: offset as string })
        if (monotonic === undefined) return offset === undefined
        const { seconds, nanoseconds } = monotonic
        return Number.isSafeInteger(seconds) && nanoseconds >= 0 && nanoseconds < 1e9
      } catch (error) {
        return error instanceof CofferdamError && error.code === 'ERR_INVALID_OPTION'
      }
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: -1e12, max: 1e12 }), milliseconds => {
      const { seconds = 0, nanoseconds = 0 } =
        checkTimeOffsets('o', { boottime: `${milliseconds}ms` }).boottime ?? {}
      return seconds * 1000 + nanoseconds / 1e6 === milliseconds
    }),
  )
})

t.test('clocks are ahead inside, and outside what they were', needsTime, async t => {
  const before = uptime(readFileSync('/proc/uptime', 'utf8'))
  const [inside, offsets] = await inTime(
    { boottime: '100d', monotonic: { seconds: 5, nanoseconds: 7 } },
    '/proc/uptime',
    '/proc/self/timens_offsets',
  )
  const after = uptime(readFileSync('/proc/uptime', 'utf8'))
  t.ok(uptime(inside) >= before + 8_640_000 && uptime(inside) <= after + 8_640_000)
  t.match(offsets, /^monotonic +5 +7\nboottime +8640000 +0\n$/)
  t.ok(after < before + 60)
})

t.test('what is left out is as here', needsTime, async t => {
  const [offsets] = await inTime({ monotonic: '-1s' }, '/proc/self/timens_offsets')
  t.match(offsets, /^monotonic +-1 +0\nboottime +0 +0\n$/)
})

t.test('a clock before its beginning is refused by the kernel', needsTime, async t => {
  await t.rejects(inTime({ boottime: { seconds: -9_000_000_000 } }, '/proc/uptime'), {
    code: 'ERANGE',
    syscall: 'write',
    step: 'time namespace',
    hint: /less than nothing/,
  })
})

t.test('the namespace is one of its own only for a child', needsTime, async t => {
  const links = ['/proc/self/ns/time', '/proc/self/ns/time_for_children'].map(path =>
    errandSteps({
      ...openFile(path),
      take: file => {
        using open = file
        return readlinkSync(`/proc/self/fd/${open.fd}`)
      },
    }),
  )
  await job('look', [newTime({}), ...links.flatMap(({ steps }) => steps)])
  const [own, forChildren] = links.map(({ answer }) => answer())
  t.equal(own, readlinkSync('/proc/self/ns/time'))
  t.match(forChildren, /^time:\[\d+\]$/)
  t.not(forChildren, own)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
