/**
 * cofferdam: isolation primitives for Linux, and containers made of them.
 *
 * @module
 */
export { CofferdamError, type Duration, type ErrorDetails, type Size } from './base/index.js'
export * as capabilities from './capabilities/index.js'
export * as cgroups from './cgroups/index.js'
export * from './container/index.js'
export * from './doctor/index.js'
export * as mounts from './mounts/index.js'
export { bind, emptyRoot, overlay, tmpfs } from './mounts/index.js'
export * as namespaces from './namespaces/index.js'
export * as netlink from './netlink/index.js'
export * as plan from './plan/index.js'
