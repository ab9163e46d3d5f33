// Writes seeds for test/fuzz/plan.c: real plans, each with a kernel that is
// kind to it, and small plans of one operation. node test/fuzz/make-seeds.mjs
import { mkdirSync, writeFileSync } from 'node:fs'
import { plan } from 'cofferdam'
import { composeSetup } from '../../dist/container/compose.js'
import { composeProcess } from '../../dist/container/compose-process.js'
import { specify } from '../../dist/container/prepare.js'
import { givenSlots } from '../../dist/run/index.js'

const folder = new URL('corpus/plan/', import.meta.url)
mkdirSync(folder, { recursive: true })

function seed(name, bytes, behaviour = [200]) {
  writeFileSync(
    new URL(name, folder),
    Buffer.concat([Buffer.from([behaviour.length, ...behaviour]), bytes]),
  )
}

const configuration = {
  lifetime: 'attached',
  proc: 'new',
  sysfs: 'new',
  mounts: [],
  rootPropagation: [],
  steps: [],
  noNewPrivileges: true,
  rootfs: { type: 'directory', path: '/r', readonly: true },
}
const setup = composeSetup(configuration, { sources: [] })
const host = plan.encode(
  setup.filter(step => step.side === 'host'),
  { hold: true },
)
seed('host', host.bytes)
const init = setup.filter(step => step.side !== 'host')
seed('setup', plan.encode(init, { given: host.held }).bytes)
seed('setup-fails', plan.encode(init, { given: host.held }).bytes, [200, 200, 200, 1, 3, 200])
const specification = specify({ argv: ['true'], user: 1 })
const process = composeProcess(configuration, { specification, pipes: [1] })
seed('process', plan.encode(process, { given: givenSlots() }).bytes)

const root = plan.slot('root')
const one = (name, operation, ...behaviours) => {
  const { bytes } = plan.encode([plan.step(name, operation)], { given: [root] })
  behaviours.forEach((behaviour, i) => {
    seed(`${name}-${i}`, bytes, behaviour)
  })
}
const kinds = [[200], [1, 200], [1, 200, 1, 200, 200], [200, 129, 200], [200, 10, 250], [4, 2, 200]]
one('target', plan.target(root, '/a/b/c', plan.slot('t')), ...kinds)
one(
  'target-file',
  plan.target(root, '//a/./b/', plan.slot('t'), { file: true, journal: true }),
  ...kinds,
)
one(
  'target-parent',
  plan.target(root, '/a/b', plan.slot('t'), { makes: { kind: 'directory' } }),
  ...kinds,
)
one('mask', plan.mask(root, '/proc/x', root, root), ...kinds, [7, 200])
one('wait', plan.wait(3, { send: root, result: plan.slot('r') }), ...kinds)
one('bounding', plan.dropBounding(plan.named('x', 5)), ...kinds)
one('exec', plan.exec(['/a', '/b'], ['a'], ['B=c']), ...kinds)
one('park', plan.park(), [200])
one('park-listening', plan.park(root), [200])
one('keep', plan.keep(0, root, root), ...kinds)
one('keep-in-group', plan.keep(0, root, root, root), ...kinds, [7, 200], [200, 7, 200])
one('sibling', plan.sibling(), ...kinds)
one('pass', plan.pass(2), ...kinds)
one('copy', plan.copy(root, root, 5), ...kinds)
one('tell', plan.tell(root), ...kinds)
one('copy-tree', plan.copyTree(root, root, ['uid', 'gid', 'mode']), ...kinds, [200, 140, 250, 136])
one('optional', { ...plan.call('fchdir', [-1], { tolerate: ['EPERM'], skip: 0 }) }, [0], [1])
