/** Warning about plain HTTP. */

/** The machine itself (RFC 6761 6.3; RFC 1122 3.2.1.3; RFC 4291 2.5.3): nobody else is on that path. */
const isLoopback = (host: string): boolean =>
  /^(([^.]+\.)*localhost\.?|127(\.\d+){3}|\[::1\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\])$/i.test(host)

const PIN = "without a pinned router key (routerKeyFingerprints)"

/** A client's warning about its router's URL; `undefined` for HTTPS. */
export const httpWarning = (baseUrl: string, isPinned: boolean): string | undefined => {
  const { hostname, protocol } = new URL(baseUrl)
  if (protocol !== "http:") return undefined
  const begin = `nomyo-js talks plain HTTP to ${baseUrl}`
  if (isLoopback(hostname)) return `${begin}, on this machine: for local development only`
  return isPinned
    ? `${begin}: anyone on the path can read the API key and metadata, and can read answers by replacing ` +
      "the client's public key; use HTTPS"
    : `${begin}: ${PIN} anyone on the path can read and change everything: prompts, answers, the API key; ` +
      "use HTTPS"
}
