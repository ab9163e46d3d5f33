export { systemBus, userBus } from './address.js'
export { Bus, BusError } from './connection.js'
export type { Message } from './message.js'
export { Variant } from './signature.js'
