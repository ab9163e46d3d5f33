export * from './errors.js'
export * from './native.js'
export * from './options.js'
export * from './units.js'
