import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

t.test('lib/plan/wire.ts is what wire.h makes it', async t => {
  const script = fileURLToPath(new URL('../../../scripts/generate-wire.mjs', import.meta.url))
  t.equal(spawnSync(process.execPath, [script, '--check'], { stdio: 'inherit' }).status, 0)
})

t.test('each name in the list is a system call of this machine', async t => {
  const { nativeFacts, syscallName } = await import('#lib/base/index.js')
  const { syscalls } = nativeFacts()
  t.ok(Object.keys(syscalls).length > 50)
  t.equal(syscallName(syscalls.openat2 as number), 'openat2')
  const oracle = spawnSync(
    'sh',
    [
      '-c',
      'printf "#include <sys/syscall.h>\\nSYS_mount SYS_clone3 SYS_pivot_root\\n" | cc -E -P -x c - | tail -1',
    ],
    { encoding: 'utf8' },
  )
  t.same(oracle.stdout.trim().split(' ').map(Number), [
    syscalls.mount,
    syscalls.clone3,
    syscalls.pivot_root,
  ])
})
