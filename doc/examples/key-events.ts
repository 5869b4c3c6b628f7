// Watches changes of the key pair.
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  const watcher = yield* NomyoClient.keyEvents.pipe(
    Stream.take(2),
    Stream.runForEach((event) => Effect.sync(() => console.log(event._tag))),
    Effect.fork
  )
  yield* Effect.yieldNow()
  yield* client.ready
  yield* client.rotateKeys
  yield* Fiber.join(watcher)
})

await program.pipe(Effect.provide(NomyoNode.layer({ keyDir: false, keySize: 2048 })), Effect.runPromise)

// This prints:
// Generated
// Rotated
