import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Duration from "effect/Duration"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { BackgroundClock } from "../../src/internal/fibers/backgroundClock.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as Transport from "../../src/Transport.js"
import { hello, ok } from "../support/calls.js"
import * as Mocks from "../support/mocks.js"

describe("disposal and deadline of NomyoClient", () => {
  it.effect("ends calls in flight and later ones with a DisposedError when its scope closes", () => {
    let released = 0
    const router = Mocks.scripted(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => released++)))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const client = Context.get(context, NomyoClient.NomyoClient)
      const call = yield* Effect.fork(Effect.flip(client.create(hello)))
      yield* Effect.yieldNow()
      while (router.state.sent.length < 1) yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(call))._tag, "DisposedError")
      assert.strictEqual(released, 1)
      for (const later of [Effect.asVoid(client.create(hello)), Effect.asVoid(client.ready),
        Effect.asVoid(client.rotateKeys)]) {
        assert.strictEqual((yield* Effect.flip(later))._tag, "DisposedError")
      }
    })
  })

  it.effect("can be disposed of from within a call", () => {
    let dispose: Effect.Effect<void> = Effect.void
    const router = Mocks.scripted(() => Effect.zipRight(Effect.suspend(() => dispose), Effect.never))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      dispose = Scope.close(scope, Exit.void)
      const context = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const error = yield* Effect.flip(Context.get(context, NomyoClient.NomyoClient).create(hello))
      assert.strictEqual(error._tag, "DisposedError")
    })
  })

  it.effect.each(["deadline", "disposal"])(
    "ends by its %s, though its caller may not be interrupted, and holds up no one else",
    (what) => {
      const router = Mocks.scripted(() => ok)
      let [isSilent, fetches] = [true, 0]
      const transport = Layer.map(router.layer, (context) => {
        const transport = Context.get(context, Transport.Transport)
        return Context.make(Transport.Transport, {
          open: () => Effect.never,
          send: (request) =>
            request.method === "GET" && fetches++ === 0 && isSilent ? Effect.never : transport.send(request)
        })
      })
      return Effect.gen(function*() {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(
          Mocks.client(transport, { timeout: "10 seconds", maxRetries: 0 }),
          scope
        )
        const client = Context.get(context, NomyoClient.NomyoClient)
        const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(client.create(hello))))
        yield* TestClock.adjust("9 seconds")
        if (what === "disposal") {
          yield* Scope.close(scope, Exit.void)
          return assert.strictEqual((yield* Fiber.join(fiber))._tag, "DisposedError")
        }
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "APIConnectionError", reason: "timeout" })
        isSilent = false
        assert.strictEqual((yield* client.create(hello)).model, "m")
        yield* Scope.close(scope, Exit.void)
      })
    }
  )

  it.effect("is answered, though its caller is interrupted meanwhile, where that waits for it whatever comes", () => {
    const router = Mocks.scripted(() => Effect.zipRight(Effect.sleep("1 second"), ok))
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const answers: Array<string | null | undefined> = []
      const fiber = yield* Effect.fork(
        Effect.uninterruptible(Effect.map(client.create(hello), ({ model }) => answers.push(model)))
      )
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(answers, ["m"])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.live("waits without a stop where its time is longer than a timer's", () => {
    const router = Mocks.scripted(() => Effect.zipRight(Effect.sleep("50 millis"), ok))
    const sleeps: Array<number> = []
    const clock = (clock: Clock.Clock): Clock.Clock => ({
      ...clock,
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      sleep: (duration) => {
        sleeps.push(Duration.toMillis(duration))
        return clock.sleep(duration)
      }
    })
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      yield* client.create(hello, { timeout: Number.MAX_SAFE_INTEGER })
      assert.deepStrictEqual(sleeps, [2 ** 31 - 1])
    }).pipe(
      Effect.provide(
        Layer.provide(Mocks.client(router.layer, { keyRotationInterval: 0 }),
          Layer.succeed(BackgroundClock, clock))
      )
    )
  })

  it.effect("does not take an interruption from within for its disposal", () => {
    const router = Mocks.scripted(() => Effect.interrupt)
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(client.create(hello))))
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })
})
