// A short tour of a container: npm start
// The plan of the same container, without making it: npm start -- explain
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type Box, CofferdamError, Container, overlay } from 'cofferdam'

// A copy-on-write view of this machine's own root: nothing to download. It is
// for trying things out, since root in it can read whatever its user can outside.
const hello = () => new Container().rootfs(overlay({ lower: ['/'] })).hostname('hello')

const colours = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code: number, text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text)

function show(title: string, ...lines: string[]): void {
  console.log(`${paint(1, title.padEnd(14))}${lines.join(`\n${' '.repeat(14)}`)}`)
}

/** Runs a shell script as the container's first process and gives what it printed. */
async function inside(box: Box, script: string): Promise<string> {
  const main = await box.start(['sh', '-c', script])
  main.stdin.end()
  const [output, errors, { exitCode }] = await Promise.all([
    main.stdout.text(),
    main.stderr.text(),
    main.exited,
  ])
  if (exitCode !== 0) throw new Error(`the script ended with ${exitCode}: ${errors}`)
  return output ?? ''
}

async function tour(): Promise<void> {
  // A file to delete inside. Root's overlay shows one file system, so the file
  // has to be on that of the root; others have one for each directory in it.
  const shown = (path: string) =>
    existsSync(path) && (!isRoot || statSync(path).dev === statSync('/').dev)
  const folder = mkdtempSync(join([tmpdir(), '/var/tmp'].find(shown) ?? '/', 'cofferdam-'))
  const file = join(folder, 'precious')
  writeFileSync(file, 'still here\n')

  try {
    await using box = await hello().create()
    const outside = box.pid
    const script = `
      hostname; echo "@"; echo $$; echo "@"; id; echo "@"
      grep CapEff /proc/self/status | cut -f2; echo "@"
      cut -d' ' -f5 /proc/self/mountinfo; echo "@"
      cat /proc/net/dev | tail -n +3 | cut -d: -f1; echo "@"
      ls -d /proc/[0-9]* | wc -l; echo "@"
      rm ${file} && ls ${folder} | wc -l`
    const [name, pid, user, capabilities, mounts, devices, processes, files] = (
      await inside(box, script)
    )
      .split('@\n')
      .map(part => part.trim())

    show('host name', `${name}  ${paint(2, `outside: ${hostname()}`)}`)
    show('process', `pid ${pid} of ${processes} it can see  ${paint(2, `outside: pid ${outside}`)}`)
    show('user', `${user}  ${paint(2, `outside: ${userName()}`)}`)
    const own = bits(ownCapabilities())
    show('capabilities', `${bits(capabilities ?? '0')} ${isRoot ? `of root's ${own}` : 'in it'}`)
    show('mounts', ...wrap((mounts ?? '').split('\n')))
    show(
      'network',
      `${devices
        ?.split('\n')
        .map(device => device.trim())
        .join(', ')}, and nothing else`,
    )
    show(
      'files',
      `${file} deleted inside, ${files} left there`,
      existsSync(file)
        ? `outside it says: ${readFileSync(file, 'utf8').trim()}`
        : 'and gone outside: a defect',
    )
    await compare()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const isRoot = process.geteuid?.() === 0

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.geteuid?.()}` // one that has no name
  }
}

/** How many bits a hexadecimal mask has set. */
function bits(mask: string): number {
  return [...BigInt(`0x${mask}`).toString(2)].filter(bit => bit === '1').length
}

function ownCapabilities(): string {
  return readFileSync('/proc/self/status', 'utf8').match(/^CapEff:\t(\w+)$/m)?.[1] ?? '0'
}

function wrap(words: string[]): string[] {
  const lines: string[] = ['']
  for (const word of words) {
    const last = lines.at(-1) as string
    if (last !== '' && last.length + word.length > 62) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last}  ${word}`
  }
  return lines
}

/** A start and exit of `true`, in a container and without, in turns. */
async function compare(): Promise<void> {
  const contained: number[] = []
  const bare: number[] = []
  for (let i = 0; i < 40; i++) {
    let begin = performance.now()
    const box = await hello().create()
    await (await box.start(['true'], { stdio: 'ignore' })).exited
    contained.push(performance.now() - begin)
    await box.delete()

    begin = performance.now()
    await once(spawn('true', { stdio: 'ignore' }), 'exit')
    bare.push(performance.now() - begin)
  }
  const [a, b] = [median(contained), median(bare)]
  show(
    'start to exit',
    `${a.toFixed(2)} ms for "true" in a new container`,
    `${b.toFixed(2)} ms for a bare child_process.spawn: ${(a / b).toFixed(2)} times that`,
  )
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

try {
  if (process.argv[2] === 'explain')
    process.stdout.write(
      hello()
        .process({ argv: ['true'] })
        .explain(),
    )
  else await tour()
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(`This machine does not let ${userName()} make the container.\n`)
  console.error(`  ${error.message}`)
  console.error('\n"npm start -- explain" shows what it would be made of.')
  process.exitCode = 1
}
