/** Length of struct nlattr, which is in front of what an attribute holds: its length with this, and its number. */
export const HEADER = 4
/** In the number of an attribute that holds others. linux/netlink.h */
export const NLA_F_NESTED = 0x8000
/** The length of an attribute stands in 16 bits. */
export const MOST = 0xffff

/** Writes the header of an attribute whose place there is. Buffer's own methods take longer. */
export function putHeader(out: Buffer, place: number, length: number, type: number): void {
  out[place] = length & 0xff
  out[place + 1] = length >> 8
  out[place + 2] = type & 0xff
  out[place + 3] = type >> 8
}
