import { readlinkSync } from 'node:fs'
import { attempt, plan } from 'cofferdam'
import t from 'tap'
import { needsRoot, rememberTraces } from '../support/index.js'

const { call, child, named, step } = plan
const CLONE_NEWUTS = named('CLONE_NEWUTS', 0x04000000)

const nothingLeft = await rememberTraces()

t.test('what it changes is gone with it', needsRoot, async t => {
  const own = readlinkSync('/proc/self/ns/uts')
  let inside = ''
  const look: plan.Step = {
    side: 'waiting',
    name: 'look',
    run: ({ namespace }) => {
      inside = readlinkSync(namespace('uts'))
    },
  }
  await attempt([step('leave', call('unshare', [CLONE_NEWUTS])), look])
  t.match(inside, /^uts:/)
  t.not(inside, own)
  t.equal(readlinkSync('/proc/self/ns/uts'), own)
})

t.test('what failed is the error', async t => {
  await t.rejects(attempt([step('enter', call('chdir', ['/no/such/directory']))]), {
    code: 'ENOENT',
    syscall: 'chdir',
    step: 'enter',
    path: '/no/such/directory',
  })
  const inChild = [step('child', child()), step('enter', call('chdir', ['/no/such']))]
  await t.rejects(attempt(inChild), { code: 'ENOENT', step: 'enter' }, 'in a child as well')
  await t.rejects(attempt([step('end', call('exit_group', [3]))]), { code: 'ERR_INIT_DIED' })
  await t.rejects(attempt([], { timeout: 'soon' }), { code: 'ERR_INVALID_OPTION' })
})

t.test('one that does not end is ended', async t => {
  const forever = step('sleep', call('ppoll', [0, 0, 0, 0, 0]))
  await t.rejects(attempt([forever], { timeout: 50 }), { code: 'ETIMEDOUT' })
})

t.test('nothing is left behind', needsRoot, nothingLeft)
