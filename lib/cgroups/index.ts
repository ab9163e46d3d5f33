/**
 * Control groups: where a process is counted and limited. cgroups(7)
 *
 * @module
 */
export * from './membership.js'
