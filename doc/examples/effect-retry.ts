// Your own retry policy: a Schedule in place of the client's retries.
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { NomyoClient, type NomyoError } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const policy = Schedule.exponential("100 millis").pipe(
  Schedule.upTo("2 seconds"),
  Schedule.whileInput((error: NomyoError.NomyoError) => error._tag === "ServiceUnavailableError"),
  Schedule.tapInput((error: NomyoError.NomyoError) =>
    Effect.sync(() => console.log(`Failed: ${error._tag}`))
  )
)

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  const models = ["status/503", "Qwen/Qwen3-0.6B"]
  // if the first model is unavailable, the second one answers
  const create = Effect.suspend(() =>
    client.create({ model: models.shift() ?? "", messages: [{ role: "user", content: "Anyone?" }] }, {
      maxRetries: 0
    })
  )
  const answer = yield* Effect.retry(create, policy)
  console.log(answer.choices[0]?.message.content)
})

await program.pipe(Effect.provide(NomyoNode.layerConfig()), Effect.runPromise)

// With the echo model this prints:
// Failed: ServiceUnavailableError
// You said: Anyone?
