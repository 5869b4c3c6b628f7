import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import * as Mocks from "./mocks.js"

export const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] } as const

export const create = (...args: Parameters<NomyoClient.Service["create"]>) =>
  Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(...args))

export const ok = Effect.succeed(Mocks.completion("Hi."))
export const status = (statusCode: number, retryAfter?: number) =>
  Effect.suspend(() => Effect.fail(fromStatus({ statusCode, message: `status ${statusCode}`, retryAfter })))

/** The exit of an effect and when it came, in milliseconds of the test clock. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flatMap(Effect.exit(effect), (exit) =>
      Effect.map(Clock.currentTimeMillis, (at) => ({ exit, at }))))
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })
