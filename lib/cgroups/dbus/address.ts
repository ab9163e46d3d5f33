// Where a bus listens; D-Bus specification, "Server Addresses".

/**
 * Paths of the addresses in a list such as `unix:path=/run/dbus/system_bus_socket;unix:runtime=yes`,
 * in this order. Other transports, and what is no address, are left out; abstract sockets too, which
 * Node 20 can't connect to: it fills up their names with NUL characters.
 */
export function socketPaths(addresses: string): string[] {
  return addresses.split(';').flatMap(address => {
    const [transport, rest] = split(address, ':')
    if (transport !== 'unix' || rest === undefined) return []
    const keys = new Map(
      rest.split(',').flatMap(pair => {
        const [key, value] = split(pair, '=')
        const text = value === undefined ? undefined : decoded(value)
        return text === undefined ? [] : [[key, text]]
      }),
    )
    const path = keys.get('path')
    const runtime = keys.get('runtime') === 'yes' ? process.env.XDG_RUNTIME_DIR : undefined
    if (path !== undefined) return [path]
    return runtime === undefined ? [] : [`${runtime}/bus`]
  })
}

function split(text: string, by: string): [string, string | undefined] {
  const at = text.indexOf(by)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** `%20` is a space; undefined for what is none, or has a NUL in it. */
function decoded(text: string): string | undefined {
  if (!/^(?:[-0-9A-Za-z_/.\\*]|%[0-9A-Fa-f]{2})+$/.test(text)) return undefined
  const bytes = text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return bytes.includes('\0') ? undefined : Buffer.from(bytes, 'latin1').toString()
}

/** Of the system's bus; dbus-daemon(1). */
export function systemBus(): string {
  return process.env.DBUS_SYSTEM_BUS_ADDRESS ?? 'unix:path=/run/dbus/system_bus_socket'
}

/** Of this user's bus, which the user's systemd is on too; undefined when there is none to be seen. */
export function userBus(): string | undefined {
  const runtime = process.env.XDG_RUNTIME_DIR
  const own = process.env.DBUS_SESSION_BUS_ADDRESS
  if (own !== undefined) return own
  return runtime === undefined ? undefined : `unix:path=${runtime}/bus`
}
