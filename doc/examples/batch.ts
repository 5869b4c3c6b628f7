// Many prompts, no faster than the service allows, and one that fails does not stop the others.
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as RateLimiter from "effect/RateLimiter"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const prompts = ["one", "two", "three"]

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  // 2 requests a second for each API key; a retry is a request too, and waits at least a second
  const limit = yield* RateLimiter.make({ limit: 2, interval: "1 second" })
  const results = yield* Effect.forEach(
    prompts,
    (content) => {
      const model = content === "two" ? "status/403" : "Qwen/Qwen3-0.6B"
      return limit(Effect.either(client.create({ model, messages: [{ role: "user", content }] })))
    },
    { concurrency: 4 }
  )
  for (const result of results) {
    console.log(Either.isRight(result) ? result.right.choices[0]?.message.content : result.left._tag)
  }
})

await program.pipe(Effect.scoped, Effect.provide(NomyoNode.layerConfig()), Effect.runPromise)

// With the echo model this prints:
// You said: one
// ForbiddenError
// You said: three
