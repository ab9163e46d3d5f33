// Scales of v1 and of v2, as runc converts them since 1.3.2: the functions
// ConvertCPUSharesToCgroupV2Value and ConvertBlkIOToIOWeightValue of
// github.com/opencontainers/cgroups (v0.0.3). The ways back are of our own, and
// chosen so that what was written is what is read.

const LEAST_SHARES = 2 // kernel/sched/sched.h, MIN_SHARES
const MOST_SHARES = 262_144 // MAX_SHARES
const MOST_WEIGHT = 10_000 // linux/cgroup.h, CGROUP_WEIGHT_MAX

/**
 * v2's `cpu.weight`, 1 to 10,000, for v1's `cpu.shares`, 2 to 262,144. Both scales'
 * ends and defaults meet (1024 shares are a weight of 100); in between it is a
 * parabola of the logarithms. Shares beyond the scale count as its end.
 */
export function cpuWeightFromShares(shares: number): number {
  if (shares <= LEAST_SHARES) return 1
  if (shares >= MOST_SHARES) return MOST_WEIGHT
  const l = Math.log2(shares)
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34))
}

/**
 * The most `cpu.shares` that {@link cpuWeightFromShares} makes this weight of. Shares
 * are the finer scale, so a weight that is written as shares is read as itself.
 */
export function cpuSharesFromWeight(weight: number): number {
  if (weight >= MOST_WEIGHT) return MOST_SHARES
  if (weight <= 1) return LEAST_SHARES
  const exponent = 612 * (Math.log10(weight) + 7 / 34)
  let shares = Math.floor(2 ** ((Math.sqrt(125 * 125 + 4 * exponent) - 125) / 2))
  // Rounding may have missed it by one.
  while (cpuWeightFromShares(shares) > weight) shares--
  while (cpuWeightFromShares(shares + 1) <= weight) shares++
  return shares
}

/**
 * v2's `io.weight`, 1 to 10,000, for the weight of v1's block I/O controller and of
 * BFQ, 10 to 1,000: linear, so that the defaults do not meet (100 is made 910).
 */
export function ioWeightFromBlkio(weight: number): number {
  return 1 + Math.floor(((clamp(weight, 10, 1000) - 10) * 9999) / 990)
}

/**
 * The weight, 10 to 1,000, that comes nearest to an `io.weight`. This scale is the
 * coarser one: ten values of `io.weight` are one of it.
 */
export function blkioWeightFromIo(weight: number): number {
  return 10 + Math.round(((clamp(weight, 1, MOST_WEIGHT) - 1) * 990) / 9999)
}

/**
 * v2's limit of swap alone, for v1's (and the OCI's) of memory and swap together.
 * Undefined where there is none to tell: `together` is less than memory, or memory
 * is without a limit and `together` is not.
 */
export function swapFromTogether(
  memory: number | 'max',
  together: number | 'max',
): number | 'max' | undefined {
  if (together === 'max') return 'max'
  return memory === 'max' || together < memory ? undefined : together - memory
}

/** v1's limit of memory and swap together; undefined if it can't express it. */
export function togetherFromSwap(
  memory: number | 'max',
  swap: number | 'max',
): number | 'max' | undefined {
  if (swap === 'max') return 'max'
  return memory === 'max' ? undefined : memory + swap
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}
