import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { needsRoot, scratch } from './support/index.js'

t.test('a published package works without a compiler: from its prebuilt addon', async t => {
  const project = fileURLToPath(new URL('../..', import.meta.url))
  const copy = join(scratch(t), 'cofferdam')
  for (const name of ['package.json', 'binding.gyp', 'src-native', 'scripts', 'dist'])
    cpSync(join(project, name), join(copy, name), { recursive: true })
  symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'))

  const built = spawnSync(process.execPath, ['scripts/prebuild.mjs'], {
    cwd: copy,
    encoding: 'utf8',
  })
  t.equal(built.status, 0, 'prebuildify builds it', { output: built.stderr?.slice(-2000) })
  const platform = `${process.platform}-${process.arch}`
  t.match(readdirSync(join(copy, 'prebuilds', platform)), [/\.node$/])

  // What a user gets: no build folder, no sources of the addon, no compiler.
  rmSync(join(copy, 'build'), { recursive: true })
  rmSync(join(copy, 'src-native'), { recursive: true })
  const options = { cwd: copy, encoding: 'utf8', env: { PATH: '/nonexistent' } } as const
  const installed = spawnSync(process.execPath, ['scripts/install.mjs'], options)
  t.equal(installed.status, 0, 'its install script builds nothing', { output: installed.stderr })

  const script = `
    const { Container, overlay, plan } = await import('${copy}/dist/index.js')
    if (process.getuid() === 0) {
      const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
      const main = await box.start(['echo', 'from a prebuild'])
      process.stdout.write(await main.stdout.text())
      await box.delete()
    } else process.stdout.write(plan.encode([plan.step('x', plan.call('getpid', []))]).bytes.length + '')`
  const used = spawnSync(process.execPath, ['--input-type=module', '-e', script], options)
  t.equal(used.stderr, '')
  t.equal(used.stdout, 'skip' in needsRoot ? '104' : 'from a prebuild\n')
})
