/** The other process of the soak: a router with a key pair of 2048 bits. It says its URL to its parent. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import { Crypto, SecureMemory } from "nomyo-js/effect"
import { NodeCrypto } from "nomyo-js/node"
import { Router } from "nomyo-js/router"

process.on("disconnect", () => process.exit())
await Effect.gen(function*() {
  const keyPair = yield* Effect.flatMap(Crypto.Crypto, (crypto) => crypto.generateKeyPair(2048))
  const server = Http.createServer()
  const served = yield* NodeHttpServer.make(() => server, { host: "127.0.0.1", port: 0 })
  yield* served.serve(yield* Router.make({ keyPair }))
  process.send(`http://127.0.0.1:${server.address().port}`)
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(NodeCrypto.layer, SecureMemory.layer)),
  Effect.runPromise)
