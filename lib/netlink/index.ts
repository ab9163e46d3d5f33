/**
 * Network devices, addresses and routes.
 *
 * @module
 */
export * from './loopback.js'
