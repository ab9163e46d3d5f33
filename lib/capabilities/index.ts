/**
 * Capabilities: root's powers, one by one. capabilities(7)
 *
 * @module
 */
export * from './exec.js'
export * from './file.js'
export * from './file-format.js'
export * from './iab.js'
export * from './kernel.js'
export {
  type Capability,
  type CapabilityName,
  type CapabilitySet,
  defaults,
  fromBits,
  nameOf,
  names,
  numberOf,
  toBits,
} from './names.js'
export * from './process.js'
export * from './securebits.js'
export * from './steps.js'
export { formatText, parseText, type TextSets } from './text.js'
