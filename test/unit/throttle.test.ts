import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as RateLimit from "../../src/internal/rateLimit.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import { fromStatus } from "../../src/internal/errors.js"
import { makeRateLimit } from "../../src/router/rateLimit.js"
import * as Mocks from "../support/mocks.js"
import * as Servers from "../support/servers.js"

/**
 * The service's limit, told once more and in another way: what breaks it in a list of times. Of all seconds
 * that begin with a request, none holds more than four. Those that hold more than two and begin within a
 * second of each other are one burst; bursts begin ten seconds apart.
 */
const broken = (times: ReadonlyArray<number>): ReadonlyArray<string> => {
  const seconds = times.map((start) => ({ start,
    count: times.filter((at) => at >= start && at < start + 1000).length })
  )
  const bursts = seconds.filter(({ count }) => count > 2).map(({ start }) => start)
  const begins = bursts.filter((start, i) => i === 0 || start - bursts[i - 1]! >= 1000)
  const apart = begins.filter((start, i) => i > 0 && start - begins[i - 1]! < 10_000)
  return [
    ...seconds.filter(({ count }) => count > 4).map(({ count, start }) =>
      `${count} in the second from ${start}`
    ),
    ...apart.map((start) => `a burst too soon at ${start}`)
  ]
}

/** When requests pass that come at these times and wait by the rule. */
const waiting = (arrivals: ReadonlyArray<number>): ReadonlyArray<number> => {
  let history = RateLimit.none
  let last = 0
  return arrivals.map((arrival) => {
    last = RateLimit.earliest(history, Math.max(arrival, last))
    history = RateLimit.pass(history, last)
    return last
  })
}

describe("the limit", () => {
  const gaps = FastCheck.array(
    FastCheck.oneof(FastCheck.constant(0), FastCheck.nat(600), FastCheck.nat(12_000)),
    { maxLength: 60 }
  )

  it("holds for requests that wait for it, whenever they arrive", () => {
    FastCheck.assert(FastCheck.property(gaps, (gaps) => {
      let at = 0
      const times = waiting(gaps.map((gap) => at += gap))
      assert.deepStrictEqual(broken(times), [])
    }), { numRuns: 500 })
  })

  it("lets through all that it allows: 4 at once, then 2 a second, and 4 again in ten seconds", () => {
    const times = waiting(Array.from({ length: 30 }, () => 0))
    assert.deepStrictEqual(times.slice(0, 8), [0, 0, 0, 0, 1000, 1000, 2000, 2000])
    assert.deepStrictEqual(times.slice(20), [9000, 9000, 10_000, 10_000, 10_000, 10_000, 11_000, 11_000,
      12_000, 12_000])
    // ten seconds are counted from the first of a burst
    assert.deepStrictEqual(waiting([0, 300, 600, 900, 10_000, 10_000, 10_000]).slice(-3), [10_000, 10_000,
      10_000])
  })

  it("delays no request by more than a second when the clock is set back", () => {
    FastCheck.assert(FastCheck.property(FastCheck.array(FastCheck.nat(20_000)), (times) => {
      let history = RateLimit.none
      for (const now of times) {
        const at = RateLimit.earliest(history, now)
        assert.isTrue(at >= now && at <= now + 1000)
        history = RateLimit.pass(history, at)
        assert.isAtMost(history.passed.length, 4)
      }
    }))
  })

  it("is exceeded by requests that do not wait", () => {
    assert.include(broken([0, 0, 0, 0, 999])[0], "5 in the second")
    assert.include(broken([0, 0, 0, 9000, 9000, 9000])[0], "a burst too soon")
    assert.lengthOf(broken([0, 0, 0, 10_000, 10_000, 10_000]), 0)
  })
})

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] } as const
const create = Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello))
const answer = Effect.succeed(Mocks.completion("Hi."))

describe("throttle", () => {
  /** A router that notes when it is asked, and fails the first `failures` requests. */
  const noting = (failures = 0) => {
    const times: Array<number> = []
    const router = Mocks.scripted((n) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        times.push(now)
        return n <= failures ? Effect.fail(fromStatus({ statusCode: 503, message: "busy" })) : answer
      }))
    return { times, layer: router.layer }
  }

  const batch = (n: number) =>
    Effect.all(Array.from({ length: n }, () => Effect.exit(create)), { concurrency: "unbounded" })

  it.effect("keeps 60 requests at once within the limit, and a tenth below it", () => {
    const { layer, times } = noting()
    return Effect.gen(function*() {
      const calls = yield* Effect.fork(batch(60))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(calls)).every(Exit.isSuccess))
      assert.deepStrictEqual(broken(times.map((at) => (at * 10) / 11)), [])
      assert.deepInclude({ ...times }, { 3: 0, 4: 1100, 59: 28_600 })
    }).pipe(Effect.provide(Mocks.client(layer, { throttle: true })))
  })

  it.effect("counts retries too", () => {
    const { layer, times } = noting(6)
    return Effect.gen(function*() {
      const calls = yield* Effect.fork(batch(12))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(calls)).every(Exit.isSuccess))
      assert.lengthOf(times, 18)
      assert.deepStrictEqual(broken(times.map((at) => (at * 10) / 11)), [])
    }).pipe(Effect.provide(Mocks.client(layer, { throttle: true })))
  })

  it.effect("does not count against a request's timeout, and reserves nothing for an interrupted one", () => {
    const { layer, times } = noting()
    return Effect.gen(function*() {
      const calls = yield* Effect.forkAll(Array.from({ length: 20 }, () => Effect.exit(create)))
      yield* TestClock.adjust("500 millis")
      const patient = yield* Effect.fork(create)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.interrupt(calls)
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(patient)))
      assert.deepStrictEqual(times, [0, 0, 0, 0, 1100])
      const others = yield* Effect.fork(batch(40))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(others)).every(Exit.isSuccess))
    }).pipe(Effect.provide(Mocks.client(layer, { throttle: true, timeout: "1 second" })))
  })

  it.effect("counts from the time a request was sent, when a timer fires late", () =>
    Effect.gen(function*() {
      let now = 0
      const late: Clock.Clock = Object.assign(Object.create(yield* Effect.clock), {
        currentTimeMillis: Effect.sync(() => now),
        sleep: (duration: Duration.Duration) =>
          Effect.sync(() => void (now += Duration.toMillis(duration) + 300))
      })
      const turn = RateLimit.makeRateLimiter()(Effect.sync(() => now))
      assert.deepStrictEqual(yield* Effect.withClock(Effect.replicateEffect(turn, 7), late), [0, 0, 0, 0,
        1400, 1400, 2800])
    }))

  it.effect.each([
    { delays: [0, 350, 20, 0, 0, 300, 0, 0, 400, 400] },
    { delays: [400, 400, 400, 400, 0, 0, 0, 0, 0, 0] },
    { delays: [400, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
  ])("keeps to the limit when one request takes longer to the router than the next: %j", (
    { delays }
  ) => {
    const times: Array<number> = []
    const router = Mocks.scripted((n) =>
      Effect.gen(function*() {
        yield* Effect.sleep(delays[(n - 1) % delays.length]!)
        times.push(yield* Clock.currentTimeMillis)
        return yield* answer
      }))
    return Effect.gen(function*() {
      const calls = yield* Effect.fork(batch(30))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(calls)).every(Exit.isSuccess))
      assert.lengthOf(times, 30)
      assert.deepStrictEqual(broken(times), [])
    }).pipe(Effect.provide(Mocks.client(router.layer, { throttle: true })))
  })

  it.effect("takes a long answer for a model at work, and waits no longer than without it", () => {
    const times: Array<number> = []
    const router = Mocks.scripted(() =>
      Effect.gen(function*() {
        times.push(yield* Clock.currentTimeMillis)
        yield* Effect.sleep("20 seconds")
        return yield* answer
      }))
    return Effect.gen(function*() {
      const calls = yield* Effect.fork(batch(8))
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* Fiber.join(calls)).every(Exit.isSuccess))
      assert.deepStrictEqual(times, [0, 0, 0, 0, 1100, 1100, 2200, 2200])
    }).pipe(Effect.provide(Mocks.client(router.layer, { throttle: true })))
  })

  it.effect("waits for what was sent last, not for what was answered last", () =>
    Effect.gen(function*() {
      const limit = RateLimit.makeRateLimiter()
      const first = yield* Effect.fork(limit(Effect.sleep("400 millis")))
      yield* Effect.replicateEffect(limit(Effect.void), 3)
      yield* TestClock.adjust("400 millis")
      yield* Fiber.join(first)
      const next = yield* Effect.fork(Effect.replicateEffect(limit(Clock.currentTimeMillis), 3))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(next), [1100, 1400, 2200])
    }))

  it.effect("forgets no request for the late answer of an earlier one", () =>
    Effect.gen(function*() {
      const limit = RateLimit.makeRateLimiter()
      yield* Effect.forkAll(Array.from({ length: 8 }, () => limit(Effect.sleep("2500 millis"))))
      yield* TestClock.adjust("2600 millis")
      const next = yield* Effect.fork(limit(Clock.currentTimeMillis))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(next), 3300)
    }))

  it.effect("holds a request up for three of its seconds at most when the clock is set back", () =>
    Effect.gen(function*() {
      const limit = RateLimit.makeRateLimiter()
      yield* TestClock.setTime(3_600_000)
      yield* Effect.replicateEffect(limit(Effect.void), 4)
      yield* TestClock.setTime(0)
      const next = yield* Effect.fork(limit(Clock.currentTimeMillis))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(next), 3300)
    }))

  it.effect("is off unless it is asked for", () => {
    const { layer, times } = noting()
    return Effect.gen(function*() {
      yield* batch(20)
      assert.deepStrictEqual(times, Array.from({ length: 20 }, () => 0))
    }).pipe(Effect.provide(Mocks.client(layer)))
  })

  it.effect("is an option, NOMYO_THROTTLE in the environment, and a boolean", () =>
    Effect.gen(function*() {
      const environment = ConfigProvider.fromMap(new Map([["NOMYO_THROTTLE", "true"]]))
      assert.isTrue((yield* Effect.withConfigProvider(NomyoConfig.config, environment)).throttle)
      const error = yield* Effect.flip(NomyoConfig.make({ throttle: "false" as never }))
      assert.match(error.message, /^throttle must be true or false/)
    }))
})

describe("a router that limits", () => {
  const post = (url: string, apiKey: string) =>
    Effect.promise(() =>
      fetch(`${url}/v1/chat/secure_completion`, { method: "POST",
        headers: { Authorization: `Bearer ${apiKey}` } }).then(
        ({ headers, status }) => ({ status, wait: headers.get("retry-after") })
      )
    )
  const posts = (url: string, apiKey: string, times: number) =>
    Effect.all(Array.from({ length: times }, () => post(url, apiKey)), { concurrency: 10 })

  it.scoped("takes four at once for each API key, asks the fifth to wait, and locks out a key that ignores it", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router({ rateLimit: true })
      const statuses = (answers: ReadonlyArray<{ readonly status: number }>) =>
        answers.map(({ status }) => status).toSorted()
      // 400: the limit let it through, to be found empty
      assert.deepStrictEqual(statuses(yield* posts(url, "one", 5)), [400, 400, 400, 400, 429])
      assert.deepStrictEqual(statuses(yield* posts(url, "two", 4)), [400, 400, 400, 400])
      assert.deepStrictEqual(yield* post(url, "two"), { status: 429, wait: "1" })
      yield* posts(url, "one", 110)
      assert.deepStrictEqual(yield* post(url, "one"), { status: 503, wait: "1800" })
      assert.strictEqual((yield* post(url, "two")).status, 429)
    }))

  it.effect("admits a key again after its wait, and 30 minutes after a lock", () =>
    Effect.gen(function*() {
      const limit = makeRateLimit()
      const ask = Effect.map(Effect.either(limit("key")),
        (either) => either._tag === "Right" ? 200 : either.left.statusCode)
      assert.deepStrictEqual(yield* Effect.replicateEffect(ask, 5), [200, 200, 200, 200, 429])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.replicateEffect(ask, 3), [200, 200, 429])
      assert.strictEqual((yield* Effect.replicateEffect(ask, 98)).at(-1), 503)
      yield* TestClock.adjust("29 minutes")
      assert.strictEqual(yield* ask, 503)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* ask, 200)
      yield* Effect.forEach(Array.from({ length: 1000 }, (_, i) => `other ${i}`), limit)
      assert.deepStrictEqual(yield* Effect.replicateEffect(ask, 4), [200, 200, 200, 200])
    }))
})
