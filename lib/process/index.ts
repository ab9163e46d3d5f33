/**
 * The process half of a plan: what runs, as whom, with which streams.
 *
 * @module
 */
export * from './specification.js'
export * from './steps.js'
export * from './terminal.js'
export * from './users.js'
