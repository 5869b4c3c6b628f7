/**
 * The other process of the stream soak: a router whose model streams 100 pieces, one every 10 milliseconds.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import { SecureMemory } from "nomyo-js/effect"
import { NodeCrypto } from "nomyo-js/node"
import { GatewayKeys, ReplayStore, Router } from "nomyo-js/router"
import * as NodePrimitives from "../../dist/platform/node/NodePrimitives.js"

const event = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "on and on " } }] })}\n\n`
const held = { open: 0, remembered: new Map() }

const pieces = Stream.unwrapScoped(Effect.as(
  Effect.acquireRelease(Effect.sync(() => held.open++), () => Effect.sync(() => held.open--)),
  Stream.tap(Stream.take(Stream.repeatValue(event), 100), () => Effect.sleep("10 millis"))
))
const model = Object.assign(() => Effect.succeed({ choices: [] }), {
  stream: () => Effect.succeed(Stream.concat(pieces, Stream.make("data: [DONE]\n\n")))
})

/** The store of the library, and how many ids it must hold: those of the last 125 seconds. */
const counting = Effect.map(ReplayStore.makeMemory(), (store) => ({
  ...store,
  add: (id, ttl) =>
    Effect.tap(store.add(id, ttl), () => Effect.sync(() => held.remembered.set(id, Date.now() + 125_000)))
}))

process.on("message", () => {
  globalThis.gc()
  for (const [id, until] of held.remembered) if (until < Date.now()) held.remembered.delete(id)
  process.send({
    "router, MiB": process.memoryUsage.rss() / 2 ** 20,
    "remembered ids": held.remembered.size,
    "open streams": held.open
  })
})
process.on("disconnect", () => process.exit())
await Effect.gen(function*() {
  const gateway = { keys: yield* GatewayKeys.make(), replayStore: yield* counting }
  const server = Http.createServer()
  const served = yield* NodeHttpServer.make(() => server, { host: "127.0.0.1", port: 0 })
  yield* served.serve(yield* Router.make({ model, protocol: 2, gateway }))
  process.send(`http://127.0.0.1:${server.address().port}`)
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.provide(Layer.merge(Layer.provideMerge(NodeCrypto.layer, SecureMemory.layer), NodePrimitives.layer)),
  Effect.runPromise
)
