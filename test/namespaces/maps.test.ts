import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { namespaces } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import { sleeper } from '../support/processes.js'

const nothingLeft = await rememberTraces()
const { readMap, subordinateIds } = namespaces

t.test('the map of a process is read', async t => {
  const numbers = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/).map(Number)
  t.same(
    readMap(process.pid, 'uid').flatMap(line => Object.values(line)),
    numbers,
  )
  t.throws(() => readMap(4_194_304, 'uid'), { code: 'ESRCH', option: 'pid' })
  t.throws(() => readMap(0, 'uid'), { code: 'ERR_INVALID_OPTION', option: 'pid' })
  t.throws(() => readMap(1, 'toString' as 'uid'), { code: 'ERR_INVALID_OPTION', option: 'side' })
})

t.test('one that nobody has written yet maps nothing', needsRoot, async t => {
  const { pid } = await sleeper(t, 'unshare', '--user')
  t.equal(readFileSync(`/proc/${pid}/uid_map`, 'utf8'), '')
  t.same(readMap(pid, 'uid'), [])
})

t.test('subordinate ids, as subuid(5) has them', async t => {
  const file = join(scratch(t), 'subuid')
  const of = (text: string, first?: number) => {
    writeFileSync(file, text)
    return subordinateIds(file, 'me', 7, first)
  }
  t.same(of('you:1:2\nme:100000:10\n# me:1:1\n7:200000:5\n', 1), [
    { containerId: 1, hostId: 100_000, size: 10 },
    { containerId: 11, hostId: 200_000, size: 5 },
  ])
  // What is not there is no 0, which would be root.
  for (const line of [
    'me::10',
    'me:1:',
    'me:1',
    'me:-1:5',
    'me:1e3:5',
    'me:1:0',
    'me:4294967295:1',
  ])
    t.equal(of(line), undefined, line)
  t.equal(subordinateIds('/does/not/exist', 'me', 7), undefined)
  const line = fc.oneof(
    fc.string(),
    fc.tuple(fc.integer(), fc.integer()).map(([a, b]) => `me:${a}:${b}`),
  )
  fc.assert(
    fc.property(fc.array(line), lines => {
      for (const { hostId, size = 0 } of of(lines.join('\n')) ?? [])
        if (hostId < 0 || size < 1 || hostId + size > 0xffffffff) return false
      return true
    }),
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
