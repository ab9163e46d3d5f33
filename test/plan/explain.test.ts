import { Container, overlay, plan } from 'cofferdam'
import t from 'tap'

const { call, explainPlan, hostStep, named, slot, step } = plan

t.test('two columns, in the order of time', async t => {
  const at = slot('root')
  const text = explainPlan({
    clone: ['pid'],
    setup: [
      hostStep('lock', call('flock', [3, named('LOCK_SH', 1)])),
      step('open', call('openat', [named('AT_FDCWD', -100), '/a "b"', 0], { result: at })),
      { side: 'waiting', name: 'network', run: () => undefined },
      { ...step('go', call('fchdir', [at], { tolerate: ['EACCES'], skip: 2 })), optional: true },
    ],
    parked: [step('session', call('setsid', []))],
    process: [step('exec', plan.exec(['/bin/x'], ['x', 'y'], ['A=1']))],
  })
  const lines = text.split('\n')
  const expected = [
    /^host +│ init$/,
    /^─+┼─+$/,
    '1. lock',
    '     flock(3, LOCK_SH)',
    /^send the setup half/,
    /^clone3\(CLONE_VM\|CLONE_VFORK\|CLONE_PIDFD$/,
    /CLONE_CLEAR_SIGHAND\|CLONE_NEWPID\) ─+▶│ execveat/,
    /^ +│ 2\. open$/,
    /^ +│ {6}openat\(AT_FDCWD, "\/a \\"b\\"", 0\) → <root>$/,
    /│ 3\. network/,
    /◀─+ waiting/,
    /network: host function/,
    /go on ─+▶/,
    /│ 4\. go \(optional\)/,
    /│ {6}fchdir\(<root>\) {2}unless EACCES, then skip 2$/,
    /◀─+ parked/,
    /│ 5\. session/,
    /setsid\(\)/,
    /│ wait for the process half/,
    /send the process half ─+▶/,
    /│ 6\. exec/,
    /exec\(\["\/bin\/x"\], \["x", "y"\], <1 variables>\)/,
    /◀─+ end of file/,
    '',
  ]
  t.equal(lines.length, expected.length)
  expected.forEach((pattern, i) => {
    t.match(lines[i], pattern)
  })
})

t.test('a builder explains itself without making anything', async t => {
  const text = new Container('demo')
    .rootfs(overlay({ lower: ['/'] }))
    .process({ argv: ['echo', 'hi'] })
    .explain()
  for (const line of [
    'CLONE_NEWNS|CLONE_NEWUTS',
    'pivot_root(".", ".")',
    /lowerdir=.*,upperdir=upper/,
    'prctl(PR_SET_NO_NEW_PRIVS, 1',
    '["echo", "hi"]',
  ])
    t.match(text, line)
})
