// Swaps two services: the key pair stays in memory, and a Transport counts the bytes it sends.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { KeyStore, NomyoClient, SecureMemory, Transport } from "nomyo-js/effect"
import { NodeCrypto } from "nomyo-js/node"

let sent = 0

const counting = Layer.effect(
  Transport.Transport,
  Effect.map(Transport.Transport, (transport) => ({
    ...transport,
    send: (request: Transport.Request) => {
      sent += request.body?.length ?? 0
      return transport.send(request)
    }
  }))
).pipe(Layer.provide(Transport.layer))

const client = NomyoClient.layerConfig().pipe(
  Layer.provide([NodeCrypto.layer, KeyStore.layerMemory, counting]),
  Layer.provide(SecureMemory.layer)
)

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  const answer = yield* client.create({ model: "Qwen/Qwen3-0.6B",
    messages: [{ role: "user", content: "How much?" }] })
  console.log(answer.choices[0]?.message.content)
  console.log(`${sent} bytes of ciphertext`)
})

await program.pipe(Effect.provide(client), Effect.runPromise)

// With the echo model this prints:
// You said: How much?
// … bytes of ciphertext
