import { once } from "node:events"
import * as Net from "node:net"

/** Forwards connections to the server at a URL, and keeps every byte that passes. */
export const startTap = async (target) => {
  const chunks = []
  const { hostname, port } = new URL(target)
  const server = Net.createServer((near) => {
    const far = Net.connect(Number(port), hostname).on("error", () => near.destroy())
    near.on("error", () => far.destroy())
    near.on("data", (chunk) => chunks.push(chunk)).pipe(far)
    far.on("data", (chunk) => chunks.push(chunk)).pipe(near)
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    bytes: () => Buffer.concat(chunks).toString("latin1"),
    stop: () => server.close()
  }
}
