/**
 * Capabilities: root's powers, one by one. capabilities(7)
 *
 * @module
 */
export * from './names.js'
export * from './steps.js'
