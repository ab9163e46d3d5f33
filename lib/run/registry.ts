import { native } from '../base/index.js'

/** Hears of one container; what a to d are depends on the event. */
export type EventListener = (event: number, a: number, b: number, c: number, d: number) => void

const listeners = new Map<number, EventListener>()
let listening = false

/** Directs the events of a native container to its listener. */
export function listen(handle: number, listener: EventListener): void {
  listeners.set(handle, listener)
  if (listening) return
  listening = true
  native().listen((id, event, a, b, c, d) => listeners.get(id)?.(event, a, b, c, d))
}

/** After the last event of a container. */
export function unlisten(handle: number): void {
  listeners.delete(handle)
}
