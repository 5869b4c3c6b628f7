// Sends a stream of requests. The others continue after one has failed.
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const requests = Stream.map(Stream.make("one", "two", "three"), (content) => ({
  model: content === "two" ? "status/403" : "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content }]
}))

const program = requests.pipe(
  NomyoClient.createAll({ concurrency: 4, ordered: true }),
  Stream.runForEach(({ index, result }) =>
    Effect.sync(() => {
      console.log(index, Either.isRight(result) ? result.right.choices[0]?.message.content : result.left._tag)
    })
  )
)

// to stay within the rate limit of the NOMYO service, set NOMYO_THROTTLE=true in the environment
await program.pipe(Effect.provide(NomyoNode.layerConfig()), Effect.runPromise)

// With the echo model this prints:
// 0 You said: one
// 1 ForbiddenError
// 2 You said: three
