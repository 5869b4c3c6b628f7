/** An encrypted answer and a typed failure by the Effect 3 modules: the router is the first argument. */
import * as Effect from "effect/Effect"
import { RateLimitError } from "nomyo-js"
import { NomyoClient, NomyoError } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })

const program = Effect.gen(function*() {
  const client = yield* NomyoClient.NomyoClient
  const answer = yield* client.create(request("any"))
  const isCaught = yield* client.create(request("status/429")).pipe(
    Effect.as(false),
    Effect.catchTag("RateLimitError",
      (error) => Effect.succeed(error instanceof RateLimitError && error instanceof NomyoError.APIError))
  )
  return `${answer.choices[0].message.content} ${isCaught}`
})

const client = NomyoNode.layer({ baseUrl: process.argv[2], allowHttp: true, keyDir: false, keySize: 2048,
  maxRetries: 0 })
void Effect.runPromise(Effect.provide(program, client)).then(console.log)
