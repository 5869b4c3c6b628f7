// The client as an Effect service, with options from the environment and typed errors.
import * as Effect from "effect/Effect"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const ask = (content: string) =>
  Effect.gen(function*() {
    const client = yield* NomyoClient.NomyoClient
    const answer = yield* client.create({ model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content }] })
    return answer.choices[0]?.message.content ?? ""
  })

const program = ask("What is the capital of France?").pipe(
  Effect.catchTags({
    RateLimitError: (error) => Effect.succeed(`Busy after ${error.attempts} attempts`),
    SecurityError: (error) => Effect.succeed(`Not safe to go on: ${error.reason}`)
  }),
  Effect.tap((answer) => Effect.sync(() => console.log(answer)))
)

await program.pipe(Effect.provide(NomyoNode.layerConfig()), Effect.runPromise)

// With the echo model this prints:
// You said: What is the capital of France?
