// A service that outlives the program that starts it: node out/examples/service.js
//
// Each of these is a program of its own; without an argument they run one after the
// other.
//   start   makes a detached container and starts the service, with a log
//   status  what list() says of it
//   attach  reads its errors, which its keeper has held, and lets go again
//   ask     one more program in it, with exec()
//   logs    what it has written to its log
//   stop    ends it, and says how it ended
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CofferdamError, Container, overlay } from 'cofferdam'

const NAME = 'example-service'
const LOG = join(tmpdir(), `${NAME}-${process.geteuid?.()}.log`)

const SERVICE = `
  trap 'echo "asked to end"; exit 0' TERM
  echo "service: ready, as pid $$ of $(hostname)" >&2
  mkfifo /tmp/door
  n=0
  while :; do read -r who < /tmp/door && n=$((n + 1)) && echo "$who was visit $n"; done`

const commands: Record<string, () => Promise<void>> = {
  async start() {
    const box = await new Container(NAME)
      .rootfs(overlay({ lower: ['/'] }))
      .create({ lifetime: 'detached' })
    const log = { log: LOG, maxSize: '64KiB', maxFiles: 3 }
    // What it writes goes to the log; its errors wait for whoever attaches.
    await box.start(['sh', '-c', SERVICE], { stdio: ['ignore', log, 'pipe'] })
    console.log(`started, as pid ${box.pid}; this program ends`)
  },

  async status() {
    for (const box of await Container.list())
      console.log(`${box.id}  ${box.status}  since ${box.startedAt?.toISOString()}`)
  },

  async attach() {
    const main = await (await Container.load(NAME)).attach()
    const errors = main.stderr?.lines()
    console.log('its errors so far:', (await errors?.next())?.value)
    main.detach()
  },

  async ask() {
    const box = await Container.load(NAME)
    const script = `for who in Ada Grace; do echo $who > /tmp/door; done; hostname`
    const visitor = await box.exec(['sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    console.log(`asked, in ${(await visitor.stdout?.text())?.trim()}`)
  },

  async logs() {
    process.stdout.write(readFileSync(LOG, 'utf8'))
  },

  async stop() {
    const box = await Container.load(NAME)
    const exit = await box.stop({ timeout: '5s' })
    console.log('ended with', exit, 'at', box.finishedAt?.toISOString())
    await box.delete()
  },
}

/** All of them in turn, each by a program of its own. */
function tour(): void {
  for (const name of ['start', 'status', 'attach', 'ask', 'logs', 'stop']) {
    console.log(`\n> ${name}`)
    const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name], {
      stdio: 'inherit',
    })
    if (status !== 0) {
      process.exitCode = 1
      return
    }
  }
}

const wanted = process.argv[2]
try {
  if (wanted === undefined) tour()
  else if (Object.hasOwn(commands, wanted)) await commands[wanted]?.()
  else throw new Error(`there is no ${wanted}; there are ${Object.keys(commands).join(', ')}`)
} catch (error) {
  if (!(error instanceof CofferdamError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
