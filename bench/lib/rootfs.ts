import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The program that is started: static, and does nothing. */
export const TRUE = '/bin/true'

/** A root file system with a static `true`, and C programs compiled beside it. */
export class Workbench {
  readonly folder = mkdtempSync(join(tmpdir(), 'cofferdam-bench-'))
  readonly rootfs = join(this.folder, 'rootfs')

  constructor() {
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
      mkdirSync(join(this.rootfs, name), { recursive: true })
    this.compileText('true', 'int main(void) { return 0; }\n')
    copyFileSync(join(this.folder, 'true'), join(this.rootfs, TRUE))
    symlinkSync('bin', join(this.rootfs, 'sbin'))
  }

  /** A program of `bench/`, compiled. */
  program(name: string): string {
    const source = fileURLToPath(new URL(`../../../bench/${name}.c`, import.meta.url))
    const output = join(this.folder, name)
    this.compile(source, output)
    return output
  }

  /** A static program in this folder, of that source text. */
  compileText(name: string, text: string): void {
    writeFileSync(join(this.folder, `${name}.c`), text)
    this.compile(join(this.folder, `${name}.c`), join(this.folder, name), '-static')
  }

  compile(source: string, output: string, ...options: string[]): void {
    execFileSync(process.env.CC ?? 'cc', ['-O2', ...options, source, '-o', output])
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
