// Preloaded into the recipes: a connection to anywhere but loopback is told to the runner, and not made.
import Net from "node:net"

const { connect } = Net.Socket.prototype
const isLocal = (host) => host === undefined || /^(localhost|127\.0\.0\.1|::1)$/.test(host)

Net.Socket.prototype.connect = function(...args) {
  const [first] = args
  const options = Array.isArray(first) ? first[0] : first
  if (isLocal(options?.host)) return connect.apply(this, args)
  process.stderr.write(`stray connection to ${options.host}\n`)
  return this.destroy(new Error("Only loopback is allowed here"))
}
