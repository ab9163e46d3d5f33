import { call, type InitStep, Placeholder, PlaceholderLength, step } from '../plan/index.js'

/** Longest host name in bytes; sethostname(2). */
export const HOSTNAME_MAX = 64

/**
 * Sets the host name, which is filled in for each container. sethostname(2);
 * needs a UTS namespace of its own. Equivalent to: `hostname NAME`
 */
export function hostname(): InitStep {
  const name = hostnamePlaceholder()
  return step('hostname', call('sethostname', [name, new PlaceholderLength(name)]))
}

/**
 * Sets the NIS domain name. setdomainname(2); needs a UTS namespace of its own.
 * Equivalent to: `domainname NAME`
 */
export function domainname(name: string): InitStep {
  return step('domain name', call('setdomainname', [name, Buffer.byteLength(name)]))
}

/** The host name of the container that a plan is filled in for, behind `prefix`. */
export function hostnamePlaceholder(prefix = ''): Placeholder {
  return new Placeholder('hostname', HOSTNAME_MAX, prefix)
}
