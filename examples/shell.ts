// A shell in a container, or any other program: npm start -- sh
//
// Without arguments: a shell. On a terminal it behaves as one that runs here: keys,
// the window's size, Ctrl-C and Ctrl-Z all reach it.
import { CofferdamError, Container, overlay, type Terminal } from 'cofferdam'

/** Runs a program in a container as if it ran here: on a terminal, if this is one. */
async function interact(argv: string[]): Promise<void> {
  await using box = await new Container()
    .rootfs(overlay({ lower: ['/'] }))
    .hostname('hello')
    .create()
  const { stdin, stdout } = process
  if (!stdin.isTTY || !stdout.isTTY) {
    const main = await box.start(argv, { stdio: 'inherit' })
    const { exitCode } = await main.exited
    process.exitCode = exitCode ?? 1
    return
  }
  // Some terminals have no size.
  const size = () => ({ rows: stdout.rows || 24, columns: stdout.columns || 80 })
  const main = await box.start(argv, {
    terminal: size(),
    env: { TERM: process.env.TERM, PS1: 'hello:$PWD# ' },
  })
  const terminal = main.terminal as Terminal
  // Every key goes to the container's terminal, which knows what Ctrl-C means.
  stdin.setRawMode(true)
  stdin.pipe(terminal, { end: false })
  terminal.pipe(stdout)
  const resized = () => terminal.resize(size())
  stdout.on('resize', resized)
  const { exitCode } = await main.exited
  stdout.off('resize', resized)
  stdin.unpipe(terminal)
  stdin.setRawMode(false)
  stdin.unref()
  process.exitCode = exitCode ?? 1
}

try {
  const argv = process.argv.slice(2)
  await interact(argv.length > 0 ? argv : ['sh'])
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  // As shells have it: 127 is not found, 126 can't be executed.
  process.exitCode = error.code === 'ENOENT' ? 127 : error.code === 'EACCES' ? 126 : 125
}
