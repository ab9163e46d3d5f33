import { slot, type WaitingStep } from '../plan/index.js'

// Waiting steps that init's life itself takes part in.

/** The terminal's host side, in init. */
export const master = slot('master')

/** Hands the terminal's other side to the host, while init waits. */
export const terminalHandover: WaitingStep = {
  side: 'waiting',
  name: 'hand over terminal',
  send: master,
  run: () => undefined,
}

/** The host writes down which process init is. What it does is up to the container. */
export const recordStep: WaitingStep = {
  side: 'waiting',
  name: 'record',
  run: () => undefined,
}
