import { oneOf, u8 } from '../codec/index.js'

/** How far an address or route is good. linux/rtnetlink.h enum rt_scope_t */
export const scope = oneOf({ global: 0, site: 200, link: 253, host: 254, nowhere: 255 }, u8)

/** How far it is good; a number for what has no name. */
export type Scope = 'global' | 'site' | 'link' | 'host' | 'nowhere' | number
