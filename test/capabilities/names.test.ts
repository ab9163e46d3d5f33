import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { capabilities } from 'cofferdam'
import t from 'tap'

t.test('names stand at their numbers', async t => {
  const header = readFileSync('/usr/include/linux/capability.h', 'utf8')
  for (const [, name, number] of header.matchAll(/^#define CAP_(\w+)\s+(\d+)$/gm))
    t.equal(capabilities.names[Number(number)], name)
})

t.test('sets are written and read as capsh does', async t => {
  const bits = capabilities.toBits('x', ['CHOWN', 'CAP_SYS_ADMIN', 'CHECKPOINT_RESTORE'])
  t.equal(bits.toString(16), '10000200001')
  t.equal(
    execFileSync('capsh', [`--decode=${bits.toString(16)}`], { encoding: 'utf8' }).trim(),
    '0x0000010000200001=cap_chown,cap_sys_admin,cap_checkpoint_restore',
  )
  t.same(capabilities.fromBits(bits), ['CHOWN', 'SYS_ADMIN', 'CHECKPOINT_RESTORE'])
  t.throws(() => capabilities.toBits('x', ['NO' as 'CHOWN']), { code: 'ERR_INVALID_OPTION' })
})
