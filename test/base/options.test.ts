import { runInNewContext } from 'node:vm'
import { Container } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { show } from '#lib/base/index.js'

t.test('any value can be shown, and none at length', async () => {
  const hostile = [
    Object.create(null),
    { toString: () => ({}) },
    { [Symbol.toPrimitive]: () => Symbol('x') },
    new Proxy(
      {},
      {
        get() {
          throw new Error('no')
        },
      },
    ),
    Symbol('x'),
    'x'.repeat(10_000),
    Array(10_000).fill('\n'),
  ]
  const shown = (value: unknown) => typeof show(value) === 'string' && show(value).length < 1500
  fc.assert(fc.property(fc.oneof(fc.anything(), fc.constantFrom(...hostile)), shown))
  for (const value of hostile) if (!shown(value)) throw new Error('it is not')
})

t.test('a list is shown as one, an empty one too', async t => {
  t.equal(show([]), '[]')
  t.equal(show([1, 'a']), '[1,a]')
})

t.test('whatever is wrong with an option, the error names it', async t => {
  const odd = { toString: () => ({}) }
  const process = (options: object) =>
    new Container().process({ argv: ['true'], ...options } as never)
  const wrong: [() => unknown, string][] = [
    [() => process({ terminal: { rows: odd } }), 'terminal.rows'],
    [() => process({ terminal: { columns: Object.create(null) } }), 'terminal.columns'],
    [() => process({ nice: odd }), 'nice'],
    [() => process({ keyring: 'x'.repeat(1e6) }), 'keyring'],
    [() => process({ cwd: 'x'.repeat(1e6) }), 'cwd'],
    [() => new Container(odd as never), 'id'],
    [() => new Container().limits({ __proto__: { memory: 1 } } as never), 'limits'],
    [() => new Container().limits(Object.create({ memory: 1 })), 'limits'],
    [() => new Container().limits({ cpu: Object.create({ quota: 1 }) }), 'limits.cpu'],
    [
      () => new Container().limits(Object.create(Object.assign(Object.create(null), { pids: 1 }))),
      'limits',
    ],
    [() => process({ terminal: { __proto__: { rows: 3 } } }), 'terminal'],
  ]
  for (const [run, option] of wrong)
    t.throws(run, { name: 'CofferdamError', code: 'ERR_INVALID_OPTION', option } as never, option)
  for (const [run] of wrong)
    try {
      run()
    } catch (error) {
      t.ok((error as Error).message.length < 1000)
    }
})

t.test('options may be an object without a prototype, or of another realm', async t => {
  const none = Object.assign(Object.create(null), { pids: 1 })
  for (const limits of [none, runInNewContext('({ pids: 1 })'), { pids: 1 }])
    t.ok(new Container().limits(limits))
})
