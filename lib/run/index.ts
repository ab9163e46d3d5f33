/**
 * The life of one process that carries out a plan: from clone3 to its end, and
 * what goes to it and comes from it meanwhile.
 *
 * @module
 */
export * from './answer.js'
export * from './bound.js'
export * from './changes.js'
export * from './group.js'
export * from './handover.js'
export { OOM_SCORE_HINT } from './hints.js'
export * from './host.js'
export { Init } from './init.js'
export * from './job.js'
export * from './keeper.js'
export * from './owner.js'
export * from './process.js'
export * from './program.js'
export * from './registry.js'
export * from './signals.js'
export * from './stdio.js'
export * from './streams.js'
export * from './terminal.js'
export * from './terminal-size.js'
