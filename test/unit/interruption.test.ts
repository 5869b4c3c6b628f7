import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import * as Crypto from "../../src/Crypto.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Mocks from "../support/mocks.js"
import * as Report from "../support/report.js"

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] }

/**
 * Runs `intrude` just before one step of what it schedules, counted from 0, which gives way there: so a fiber
 * can be met anywhere.
 */
const makeStepper = (at: number, intrude: () => void) => {
  const base = new Scheduler.MixedScheduler(2048)
  let step = 0
  const scheduler: Scheduler.Scheduler = {
    scheduleTask: (task, priority, fiber) => base.scheduleTask(task, priority, fiber),
    shouldYield: () => {
      if (step++ !== at) return false
      intrude()
      return 0
    }
  }
  return { scheduler, isReached: () => step > at }
}

class Alive extends Supervisor.AbstractSupervisor<ReadonlySet<Fiber.RuntimeFiber<unknown, unknown>>> {
  readonly fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  readonly value = Effect.sync(() => this.fibers)
  override onStart<A, E, R>(_: Context.Context<R>, __: Effect.Effect<A, E, R>, ___: unknown,
    fiber: Fiber.RuntimeFiber<A, E>) {
    this.fibers.add(fiber as Fiber.RuntimeFiber<unknown, unknown>)
  }
  override onEnd<A, E>(_: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>) {
    this.fibers.delete(fiber as Fiber.RuntimeFiber<unknown, unknown>)
  }
}

/** Secure memory that knows what is out. */
const makeMemory = () => {
  const out = new Set<Uint8Array>()
  const service = SecureMemory.make({
    allocate: (length) => {
      const bytes = new Uint8Array(length)
      out.add(bytes)
      return { bytes, free: () => out.delete(bytes) }
    },
    info: () => ({ method: "zero-only", canLock: false, isPlatformSecure: false })
  })
  return { out, service }
}

interface Call {
  /** What the router answers, 200 when there is no more. */
  readonly statuses?: ReadonlyArray<number>
  /** Has the client make its keys and fetch the router's before. */
  readonly isWarm?: boolean
  readonly request?: typeof hello & { readonly base_url?: string }
  readonly within?: <A, E>(call: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

/** A call that something happens to just before a step of it; whether it got as far as that. */
const intrudeAt = (step: number, what: "interruption" | "disposal",
  { isWarm = false, request = hello, statuses = [], within }: Call) =>
  Effect.gen(function*() {
    const memory = makeMemory()
    const alive = new Alive()
    const scope = yield* Scope.make()
    let isCalm = false
    const router = Mocks.scripted((n) => {
      const status = isCalm ? 200 : statuses[n - 1] ?? 200
      return status === 200
        ? Effect.succeed(Mocks.completion("Hi!"))
        : Effect.fail(fromStatus({ statusCode: status, message: "no" }))
    })
    const crypto = Layer.succeed(Crypto.Crypto, TestCrypto.make(memory.service))
    const context = yield* NomyoClient.layer({ baseUrl: "https://router.test", keyRotationInterval: 0 }).pipe(
      Layer.provide(
        Layer.mergeAll(Layer.provide(Layer.merge(router.layer, KeyStore.layerMemory), crypto), crypto)
      ),
      Layer.provide(Layer.succeed(SecureMemory.SecureMemory, memory.service)),
      Layer.buildWithScope(scope)
    )
    const client = Context.get(context, NomyoClient.NomyoClient)
    if (isWarm) yield* client.create(hello)

    let fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
    let closing: Fiber.RuntimeFiber<void> | undefined
    const { isReached, scheduler } = makeStepper(step, () => {
      if (what === "interruption") fiber?.unsafeInterruptAsFork(FiberId.none)
      else closing = Effect.runFork(Scope.close(scope, Exit.void))
    })
    const call = client.create(request)
    fiber = yield* Effect.zipRight(Effect.yieldNow(), within === undefined ? call : within(call)).pipe(
      Effect.withScheduler(scheduler),
      Effect.supervised(alive),
      Effect.forkDaemon
    )
    const exit = yield* Fiber.await(fiber)
    if (closing !== undefined) yield* Fiber.await(closing)
    // what is interrupted and not waited for
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    const left = { fibers: alive.fibers.size, buffers: memory.out.size }
    if (closing === undefined) {
      isCalm = true
      yield* client.create(hello)
      yield* Scope.close(scope, Exit.void)
    }
    return { left, exit, isReached: isReached() }
  })

/** The name of what came out. */
const outcome = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.match(exit, {
    onSuccess: () => "an answer",
    onFailure: (cause) =>
      Cause.isInterruptedOnly(cause)
        ? "interruption"
        : (Cause.squash(cause) as { readonly _tag?: string })._tag ?? Cause.pretty(cause)
  })

const calls: Readonly<Record<string, Call>> = {
  "a first call": {},
  "a call": { isWarm: true },
  "a call that fails": { isWarm: true, statuses: [200, 401] },
  "a call that finds the router's key changed": { isWarm: true, statuses: [200, 400] },
  "a call to another router": { isWarm: true, request: { ...hello, base_url: "https://other.test" } },
  "a call whose caller waits whatever comes": { isWarm: true, within: Effect.uninterruptible }
}

/** Every step is tried in full runs, every seventh otherwise; which ones differs from call to call. */
const stride = Report.isFull ? 1 : 7

describe.each(Object.entries(calls).map(([name, call], i) => [name, call, i % stride] as const))("%s",
  (_, call, first) => {
    it.live.each(["interruption", "disposal"] as const)("ends and leaves nothing behind for %s at a step",
      (what) =>
        Effect.gen(function*() {
          const expected = ["an answer", "AuthenticationError", "InvalidRequestError",
            what === "disposal" ? "DisposedError" : "interruption"]
          for (let step = first;; step += stride) {
            const { exit, isReached, left } = yield* intrudeAt(step, what, call)
            assert.deepStrictEqual({ step, ...left }, { step, fibers: 0, buffers: 0 })
            if (!isReached) break
            assert.include(expected, outcome(exit))
          }
        }))
  })
