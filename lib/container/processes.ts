import { readdir, readFile, readlink } from 'node:fs/promises'
import type { Cgroup } from '../cgroups/index.js'

/** A process of a container. */
export interface ProcessInfo {
  /** Its pid as the host sees it. */
  pid: number
  /** Its pid as the container sees it; the same without a PID namespace. */
  containerPid: number
  /** Pid of its parent as the host sees it. */
  parent: number
  /** Name of its program, at most 15 bytes of it; `/proc/PID/comm`. */
  name: string
  /** Real user id as the host sees it. */
  uid: number
}

/** What `/proc/PID/status` says; undefined when there is no such process. */
async function processInfo(pid: number): Promise<ProcessInfo | undefined> {
  let status: string
  try {
    status = await readFile(`/proc/${pid}/status`, 'utf8')
  } catch {
    return undefined
  }
  const field = (name: string) => new RegExp(`^${name}:\\t(.*)$`, 'm').exec(status)?.[1] ?? ''
  const numbers = field('NSpid').split('\t').map(Number)
  return {
    pid,
    containerPid: numbers.at(-1) || pid,
    parent: Number(field('PPid')),
    name: field('Name'),
    uid: Number(field('Uid').split('\t')[0]),
  }
}

async function pidNamespace(pid: number): Promise<string | undefined> {
  try {
    return await readlink(`/proc/${pid}/ns/pid`)
  } catch {
    return undefined
  }
}

/** All processes of the PID namespace that this one is in, in the order of their pids. */
export async function processesOfNamespace(first: number): Promise<ProcessInfo[]> {
  const wanted = await pidNamespace(first)
  if (wanted === undefined) return []
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
  const inside: ProcessInfo[] = []
  for (const pid of pids) {
    if ((await pidNamespace(pid)) !== wanted) continue
    const info = await processInfo(pid)
    if (info !== undefined) inside.push(info)
  }
  return inside.sort((a, b) => a.containerPid - b.containerPid)
}

/** Those of a control group and of what is below it. */
export async function processesOfGroup(group: Cgroup): Promise<ProcessInfo[]> {
  const found: ProcessInfo[] = []
  const groups = [group]
  for await (const each of group.walk()) groups.push(each)
  for (const each of groups)
    for (const pid of await each.processes()) {
      const info = await processInfo(pid)
      if (info !== undefined) found.push(info)
    }
  return found
}

/** These processes and what has come of them, as far as they are still their children. */
export async function descendants(pids: readonly number[]): Promise<ProcessInfo[]> {
  const found: ProcessInfo[] = []
  for (const pid of pids) {
    const info = await processInfo(pid)
    if (info === undefined) continue
    found.push(info, ...(await descendants(await children(pid))))
  }
  return found
}

async function children(pid: number): Promise<number[]> {
  try {
    const threads = await readdir(`/proc/${pid}/task`)
    const lists = await Promise.all(
      threads.map(thread => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')),
    )
    return lists.flatMap(list => list.split(' ').filter(Boolean).map(Number))
  } catch {
    return []
  }
}
