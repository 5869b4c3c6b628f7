// A development router in the same process, with your own model and no network.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { KeyStore, NomyoClient, NomyoError, SecureMemory, TestCrypto } from "nomyo-js/effect"
import { type Model, Router } from "nomyo-js/router"

const model: Model.Model = ({ payload, securityTier }) =>
  securityTier === "maximum"
    ? Effect.fail(new NomyoError.ForbiddenError({ message: "This model does not run there" }))
    : Effect.succeed({
      choices: [{ index: 0, message: { role: "assistant", content: `${payload.messages.length} messages` },
        finish_reason: "stop" }]
    })

const client = NomyoClient.layer().pipe(
  Layer.provide([Router.layerTransport({ model }), KeyStore.layerMemory]),
  Layer.provide([TestCrypto.layer, SecureMemory.layer])
)

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  const messages = [{ role: "user", content: "Hello!" }] as const
  const answer = yield* client.create({ model: "mine", messages })
  console.log(answer.choices[0]?.message.content)
  const error = yield* Effect.flip(client.create({ model: "mine", messages, security_tier: "maximum" }))
  console.log(error._tag, error.message)
})

await program.pipe(Effect.provide(client), Effect.runPromise)

// With the echo model this prints:
// 1 messages
// ForbiddenError The router answered 403: This model does not run there. Choose another model or tier
