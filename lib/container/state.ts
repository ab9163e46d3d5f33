/**
 * Where containers leave what must outlast the program that made them:
 * `/run/cofferdam`, or below `$XDG_RUNTIME_DIR` for an ordinary user.
 */
export function stateFolder(): string {
  const runtime = process.env.XDG_RUNTIME_DIR
  if (process.getuid?.() !== 0 && runtime !== undefined) return `${runtime}/cofferdam`
  return '/run/cofferdam'
}
