/** Major and minor number of a dev_t as Linux packs it, `'8:0'`; makedev(3). */
export function deviceNumbers(device: number): string {
  const low = device % 2 ** 32
  const high = Math.floor(device / 2 ** 32)
  const major = ((low >>> 8) & 0xfff) | (high & ~0xfff)
  const minor = (low & 0xff) | ((low >>> 12) & ~0xff)
  return `${major}:${minor}`
}
