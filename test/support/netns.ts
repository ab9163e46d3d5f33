import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { sleeper } from './processes.js'

/** A network namespace of a test's own. */
export interface Netns {
  /** Of the process that keeps it. */
  readonly pid: number
  /** `netlink.open({ netns: ns.path })` */
  readonly path: string
}

/** A fresh network namespace, with `lo` that is down; it goes with the test, and its devices with it. */
export async function netns(t: Test): Promise<Netns> {
  const { pid } = await sleeper(t, 'unshare', '--net')
  return { pid, path: `/proc/${pid}/ns/net` }
}

/** An end of a {@link wire}: its device, and the addresses that it has, with their prefixes. */
export interface End {
  readonly ns: Netns
  readonly device: string
  readonly addresses: readonly string[]
}

/** Makes a veth pair between two network namespaces, with all of it up, `lo` too. */
export async function wire(from: End, to: End): Promise<void> {
  const peer = ['peer', 'name', to.device, 'netns', `${to.ns.pid}`]
  await inNetns(from.ns, 'ip', 'link', 'add', from.device, 'type', 'veth', ...peer)
  for (const { ns, device, addresses } of [from, to]) {
    for (const address of addresses)
      await inNetns(ns, 'ip', 'address', 'add', address, 'dev', device)
    await inNetns(ns, 'ip', 'link', 'set', device, 'up')
    await inNetns(ns, 'ip', 'link', 'set', 'lo', 'up')
  }
}

/** Runs a program of the host in a network namespace, or in the host's own; gives what it printed. */
export async function inNetns(ns: Netns | undefined, ...argv: string[]): Promise<string> {
  const [program = '', ...args] =
    ns === undefined ? argv : ['nsenter', `--net=${ns.path}`, '--', ...argv]
  const { stdout } = await promisify(execFile)(program, args, {
    timeout: 60_000,
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  })
  return stdout
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the tools print; tests say what they expect of it
type Printed = any

async function json(ns: Netns | undefined, ...argv: string[]): Promise<Printed> {
  const text = (await inNetns(ns, ...argv)).trim()
  return text === '' ? [] : JSON.parse(text)
}

/** `ip -j …` there, parsed; where it prints nothing an empty list. `-d` and the like come first. */
export function ip(ns: Netns | undefined, ...args: string[]): Promise<Printed> {
  return json(ns, 'ip', '-j', ...args)
}

/** `tc -j …` there. */
export function tc(ns: Netns | undefined, ...args: string[]): Promise<Printed> {
  return json(ns, 'tc', '-j', ...args)
}

/** `bridge -j …` there. */
export function bridge(ns: Netns | undefined, ...args: string[]): Promise<Printed> {
  return json(ns, 'bridge', '-j', ...args)
}

/** `nft -j …` there: `nft(ns, 'list', 'ruleset')`. What it lists is in `nftables`. */
export function nft(ns: Netns | undefined, ...args: string[]): Promise<Printed> {
  return json(ns, 'nft', '-j', ...args)
}

/**
 * The host's devices, addresses, routes, rules and firewall: the same before a test and after it.
 * What changes by itself is left out of it.
 */
export async function snapshot(): Promise<Printed> {
  const asked = [
    ['-d', 'link', 'show'],
    ['address', 'show'],
    ['-4', 'route', 'show', 'table', 'all'],
    ['-6', 'route', 'show', 'table', 'all'],
    ['-4', 'rule', 'show'],
    ['-6', 'rule', 'show'],
  ]
  const listed = await Promise.all(asked.map(args => ip(undefined, ...args)))
  const rules = await nft(undefined, 'list', 'ruleset')
  return JSON.parse(JSON.stringify({ listed, rules }), (key, value) =>
    ['valid_life_time', 'preferred_life_time', 'expires', 'metainfo'].includes(key)
      ? undefined
      : value,
  )
}
