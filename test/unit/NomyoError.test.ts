import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { fromStatus, withRequest } from "../../src/internal/errors.js"
import * as NomyoError from "../../src/NomyoError.js"

const classes = [
  [400, NomyoError.InvalidRequestError],
  [401, NomyoError.AuthenticationError],
  [403, NomyoError.ForbiddenError],
  [404, NomyoError.APIError],
  [422, NomyoError.APIError],
  [429, NomyoError.RateLimitError],
  [500, NomyoError.ServerError],
  [502, NomyoError.APIError],
  [503, NomyoError.ServiceUnavailableError],
  [504, NomyoError.APIError]
] as const

const others = [
  new NomyoError.SecurityError({ reason: "envelope", message: "closed" }),
  new NomyoError.APIConnectionError({ reason: "timeout", message: "late" }),
  new NomyoError.DisposedError()
]

describe("NomyoError", () => {
  it.each(classes)("stands for the status %i", (statusCode, Class) => {
    const error = fromStatus({ statusCode, message: "no" })
    assert.strictEqual(error.constructor, Class)
    assert.instanceOf(error, NomyoError.APIError)
    assert.instanceOf(error, Error)
    assert.deepStrictEqual([error._tag, error.name, error.statusCode, String(error)], [Class.name, Class.name,
      statusCode, `${Class.name}: no`])
    assert.match(error.stack!, new RegExp(`^${Class.name}: no\n`))
  })

  it.each(others)("$_tag is a real error, and none of HTTP's", (error) => {
    assert.instanceOf(error, Error)
    assert.notInstanceOf(error, NomyoError.APIError)
    assert.strictEqual(error.name, error._tag)
    assert.strictEqual(error.constructor.name, error._tag)
  })

  it("is the base of all ten classes, and of no other error", () => {
    for (const error of [...classes.map(([statusCode]) => fromStatus({ statusCode, message: "no" })),
      ...others]) {
      const isOne = error instanceof NomyoError.NomyoError
      assert.deepStrictEqual({ tag: error._tag, isOne, isNomyoError: NomyoError.isNomyoError(error) }, {
        tag: error._tag,
        isOne: true,
        isNomyoError: true
      })
    }
    for (const other of [new Error("no"), { _tag: "APIError" }, "APIError", undefined, null]) {
      assert.isFalse(NomyoError.isNomyoError(other))
    }
  })

  it("knows the status of a class that stands for one", () => {
    assert.strictEqual(new NomyoError.RateLimitError({ message: "slow down" }).statusCode, 429)
    assert.strictEqual(new NomyoError.InvalidRequestError({ message: "model is missing" }).statusCode, 400)
  })

  it("serialises to its declared fields", () => {
    const error = fromStatus({ statusCode: 429, message: "no", errorDetails: { detail: "no" },
      retryAfter: 1000 })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(withRequest(error, { payloadId: "id", attempts: 3 }))), {
      _tag: "RateLimitError",
      message: "no",
      statusCode: 429,
      errorDetails: { detail: "no" },
      retryAfter: 1000,
      payloadId: "id",
      attempts: 3
    })
  })

  it("is filled in on a copy", () => {
    for (const error of [...classes.map(([statusCode]) => fromStatus({ statusCode, message: "no" })),
      ...others]) {
      const copy = withRequest(error, { payloadId: "id", attempts: 2 })
      assert.deepStrictEqual(
        { constructor: copy.constructor, message: copy.message, _tag: copy._tag },
        { constructor: error.constructor, message: error.message, _tag: error._tag }
      )
      assert.deepStrictEqual([copy.payloadId, copy.attempts, error.payloadId], ["id", 2, undefined])
    }
  })

  it.effect("fails an effect by Effect.fail", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.gen(function*() {
        return yield* Effect.fail(new NomyoError.DisposedError())
      }))
      assert.isTrue(
        exit._tag === "Failure" && Cause.isFailType(exit.cause) && exit.cause.error._tag === "DisposedError"
      )
    }))
})
