/**
 * Mounts: which files a process sees, and where. mount_namespaces(7)
 *
 * @module
 */
export { composedRootStep, lookAtRoot, type RootEntry } from './composed-root.js'
export * from './dev.js'
export * from './masks.js'
export * from './operations.js'
export * from './root.js'
export * from './specifications.js'
export * from './steps.js'
