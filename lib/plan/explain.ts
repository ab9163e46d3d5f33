import { kinds } from './kinds.js'
import type { Argument, Operation } from './operation.js'
import { Placeholder, PlaceholderLength, Slot } from './operation.js'
import type { Plan, Step } from './step.js'
import { opcodes } from './wire.js'

const opcodeNames = new Map<number, string>(
  Object.entries(opcodes).map(([name, code]) => [code, name.toLowerCase()]),
)

/** An operation the way strace(1) would print it. */
export function printOperation(operation: Operation): string {
  const name =
    operation.code === opcodes.SYSCALL ? `${operation.call}` : opcodeNames.get(operation.code)
  const result = operation.result === undefined ? '' : ` → <${operation.result.name}>`
  let tolerated = ''
  if (operation.tolerate?.length) tolerated = `  unless ${operation.tolerate.join(', ')}`
  if (operation.skip) tolerated += `, then skip ${operation.skip}`
  if (operation.otherwise) tolerated += `, or else skip ${operation.otherwise}`
  const args = operation.args.map(printArgument)
  // As strace(1) has it. A program's variables may be secrets, and errors get into logs.
  const env = operation.code === opcodes.EXEC ? operation.args[2] : undefined
  if (Array.isArray(env)) args[2] = `<${env.length} variables>`
  return `${name}(${args.join(', ')})${result}${tolerated}`
}

function printArgument(argument: Argument): string {
  if (typeof argument === 'number' || typeof argument === 'bigint') return `${argument}`
  if (typeof argument === 'string') return JSON.stringify(argument)
  if (argument instanceof Slot) return `<${argument.name}>`
  if (argument instanceof Placeholder) return printPlaceholder(argument)
  if (argument instanceof PlaceholderLength) return `strlen(<${argument.of.name}>)`
  if ('text' in argument) return argument.text
  const items = argument.map(item =>
    typeof item === 'string' ? JSON.stringify(item) : printPlaceholder(item),
  )
  return `[${items.join(', ')}]`
}

function printPlaceholder({ prefix, name }: Placeholder): string {
  return prefix === '' ? `<${name}>` : `"${prefix}<${name}>"`
}

const HOST_WIDTH = 40

/** An arrow from the host's column to init's, and one back with what it tells. */
const arrow = (width: number) => `${'─'.repeat(Math.max(1, width - 1))}▶`
const back = (news: string) => `◀${'─'.repeat(HOST_WIDTH - 3 - news.length)} ${news}`

/** Two columns: what the host does, and what init does, in the order of time. */
export function explainPlan(plan: Plan): string {
  const lines: string[] = []
  const left = (text: string) => lines.push(text)
  const right = (text: string) => lines.push(`${' '.repeat(HOST_WIDTH)}│ ${text}`)
  const both = (host: string, init: string) =>
    lines.push(`${host.padEnd(HOST_WIDTH)}│ ${init}`.trimEnd())
  let number = 0
  const title = (step: Step) => {
    number++
    const optional = step.side === 'init' && step.optional ? ' (optional)' : ''
    return `${number}. ${step.name}${optional}`
  }

  both('host', 'init')
  lines.push(`${'─'.repeat(HOST_WIDTH)}┼${'─'.repeat(HOST_WIDTH)}`)
  for (const step of plan.setup.filter(step => step.side === 'host')) {
    left(title(step))
    for (const operation of step.operations) left(`     ${printOperation(operation)}`)
  }
  both('send the setup half', '')
  left('clone3(CLONE_VM|CLONE_VFORK|CLONE_PIDFD')
  const made = plan.clone.map(kind => `|${kinds[kind].flag.text}`).join('')
  const last = `  |CLONE_CLEAR_SIGHAND${made})`
  if (plan.into !== undefined) left(`  |CLONE_INTO_CGROUP, <${plan.into.name}>`)
  both(`${last} ${arrow(HOST_WIDTH - last.length)}`, 'execveat(<cofferdam-init>)')

  const half = (steps: readonly Step[]) => {
    for (const step of steps) {
      if (step.side === 'host') continue
      if (step.side === 'waiting') {
        both('', `${title(step)}`)
        both(back('waiting'), '     wait for the host')
        left(`  ${step.name}: host function`)
        both(`go on ${arrow(HOST_WIDTH - 7)}`, '')
        continue
      }
      right(title(step))
      for (const operation of step.operations) right(`     ${printOperation(operation)}`)
    }
  }
  half(plan.setup)
  both(back('parked'), '')
  half(plan.parked)
  right('wait for the process half')
  both(`send the process half ${arrow(HOST_WIDTH - 23)}`, '')
  half(plan.process)
  both(back('end of file'), 'runs')
  return `${lines.join('\n')}\n`
}
