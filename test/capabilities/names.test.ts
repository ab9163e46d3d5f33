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

t.test('what is no name, no set, no state', async t => {
  const {
    afterExec,
    allCapabilities,
    boundingSet,
    capabilitySets,
    dropFromBounding,
    formatIab,
    formatText,
    fromBits,
    numberOf,
    parseFileCapabilities,
    parseIab,
    parseStatus,
    parseText,
    processCapabilities,
    securebitsFromBits,
    securebitsStep,
    toBits,
  } = capabilities
  t.equal(numberOf(5 as unknown as string), undefined)
  const refused = (option: string, use: (wrong: never) => unknown, ...wrong: unknown[]) => {
    const shapeless = option === 'sets' ? 7 : Object.create(null) // where it is empty sets
    for (const value of [...wrong, null, 7.5, Symbol('x'), shapeless, () => 'CHOWN'])
      t.throws(() => use(value as never), { code: 'ERR_INVALID_OPTION', option })
  }
  refused('x', set => toBits('x', set), 'CHOWN', {}, ['constructor'], [['CHOWN']], [5], [null])
  refused('x', name => toBits('x', [name]), '', 'CAP_', '64', '-1', 'cap_chown ')
  refused('bits', fromBits, -1n, 1n << 64n, '1')
  refused('bits', dropFromBounding, -1n, undefined)
  refused('sets', boundingSet, [])
  refused('sets', capabilitySets, undefined)
  t.throws(() => capabilitySets({} as never), { code: 'ERR_INVALID_OPTION' })
  t.throws(() => securebitsFromBits('x' as never), { code: 'ERR_INVALID_OPTION', option: 'bits' })
  refused('securebits', securebitsStep, undefined, 'noroot', [['noroot']], [Symbol('x')])
  for (const parse of [parseText, parseIab, parseStatus]) refused('text', parse, undefined)
  refused('value', parseFileCapabilities, 'text', [1])
  refused('sets', formatText, undefined, ['CHOWN'], 'all') // a list is not three of them
  refused('sets', formatIab, undefined, ['CHOWN'])
  refused('pid', processCapabilities, '1', -1)

  const state = processCapabilities()
  refused('state', afterExec, undefined, [])
  refused('state.uid.effective', effective =>
    afterExec({ ...state, uid: { ...state.uid, effective } }),
  )
  refused('state.groups', groups => afterExec({ ...state, groups }), {}, [-1])
  refused('state.noNewPrivileges', noNewPrivileges => afterExec({ ...state, noNewPrivileges }), 1)
  for (const name of ['setuid', 'setgid'])
    refused(`file.${name}`, id => afterExec(state, { [name]: id } as object), -1, 2 ** 32 - 1, '0')
  refused('file.roots', roots => afterExec(state, { roots }), [], [-1], ['0'])
  refused('file.capabilities', own => afterExec(state, { capabilities: own }), [], 'all')
  const none = { permitted: [], inheritable: [], effective: false }
  refused('file.capabilities.rootId', rootId =>
    afterExec(state, { capabilities: { ...none, rootId } }),
  )
  t.same(fromBits(allCapabilities()).length, capabilities.lastCapability() + 1)
})
