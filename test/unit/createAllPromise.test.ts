import { afterAll, assert, beforeAll, describe, expect, it } from "vitest"
import { type ChatCompletionRequest, DisposedError, InvalidRequestError,
  SecureChatCompletion } from "../../src/index.js"
import { collect, defaults, endless, error, say, textOf, until, useRouter } from "../support/batches.js"

const router = useRouter()

describe("createAll of SecureChatCompletion", () => {
  const make = () => new SecureChatCompletion({ ...defaults, baseUrl: router.url })
  let client: SecureChatCompletion
  beforeAll(() => {
    client = make()
  })
  afterAll(() => client.dispose())

  /** Its first request is there; the second never comes. */
  const stuck = () => {
    const input = { reads: 0, returns: 0 }
    const requests: AsyncIterable<ChatCompletionRequest> = {
      [Symbol.asyncIterator]: () => ({
        next: () =>
          ++input.reads === 1
            ? Promise.resolve({ done: false, value: say("zero") })
            : new Promise(() => undefined),
        return: () => {
          input.returns++
          return Promise.reject(new Error("it cannot be closed either"))
        }
      })
    }
    return { input, requests }
  }

  it("settles as Promise.allSettled does", async () => {
    const [answered, failed] = await collect(
      client.createAll([say("zero"), say("", "status/403")], { ordered: true })
    )
    expect(answered).toMatchObject({ index: 0, status: "fulfilled",
      value: { choices: [{ message: { content: "You said: zero" } }] } })
    expect(failed).toMatchObject({ index: 1, status: "rejected",
      reason: { name: "ForbiddenError", statusCode: 403, attempts: 1 } })
  })

  it("does nothing until it is iterated", async () => {
    const { requests, state } = endless()
    const batch = client.createAll(requests)
    await batch.return()
    assert.deepStrictEqual({ read: state.read, asked: router.seen.asked }, { read: 0, asked: 0 })
  })

  it("is cancelled by a signal, with the signal's reason", async () => {
    const reason = new Error("enough")
    const before = endless()
    assert.strictEqual(
      await error(collect(client.createAll(before.requests, { signal: AbortSignal.abort(reason) }))),
      reason
    )
    assert.strictEqual(before.state.read, 0)

    const controller = new AbortController()
    const during = endless("held")
    const failed = error(
      collect(client.createAll(during.requests, { signal: controller.signal, concurrency: 20 }))
    )
    await until(() => router.seen.asked === 20)
    controller.abort(reason)
    assert.strictEqual(await failed, reason)
    assert.deepInclude(during.state, { read: 20, isClosed: true })
    await until(() => router.seen.now === 0)
    assert.strictEqual(textOf(await client.create(say("still there"))), "You said: still there")
  })

  it("ends although its input never answers: by an abort, a disposal, or when its loop is left", async () => {
    const reason = new Error("enough")
    const controller = new AbortController()
    const [aborted, disposed, left] = [stuck(), stuck(), stuck()]
    const client = make()
    for await (const { index } of client.createAll(left.requests)) {
      assert.strictEqual(index, 0)
      break
    }
    const abort = client.createAll(aborted.requests, { signal: controller.signal })
    await abort.next()
    const abortFailed = error(abort.next())
    controller.abort(reason)
    assert.strictEqual(await abortFailed, reason)

    const dispose = client.createAll(disposed.requests)
    await dispose.next()
    const disposeFailed = error(dispose.next())
    client.dispose()
    assert.instanceOf(await disposeFailed, DisposedError)
    for (const { input } of [aborted, disposed, left]) assert.deepStrictEqual(input, { reads: 2, returns: 1 })
  })

  it("fails with a DisposedError after its client was disposed, and reads nothing", async () => {
    const client = make()
    client.dispose()
    const { requests, state } = endless()
    assert.instanceOf(await error(collect(client.createAll(requests))), DisposedError)
    assert.strictEqual(state.read, 0)
  })

  it("closes its input as for await does: unless it has ended, and failing with what goes wrong", async () => {
    const failure = new Error("not closed")
    const requests = (length: number): Iterable<ChatCompletionRequest> => ({
      [Symbol.iterator]: () => ({
        next: () => ({ done: length-- === 0, value: say("x") }),
        return: () => {
          throw failure
        }
      })
    })
    const first = async (length: number) => {
      for await (const _ of client.createAll(requests(length))) break
    }
    assert.strictEqual(await error(first(Number.POSITIVE_INFINITY)), failure)
    assert.lengthOf(await collect(client.createAll(requests(1))), 1)
  })

  it("rejects with its own errors whatever it is given, and no request holds up the others", async () => {
    for (const requests of [undefined, null, 7, {}]) {
      assert.instanceOf(await error(collect(client.createAll(requests as never))), InvalidRequestError)
    }
    const trap = Object.defineProperty({ ...say("x") }, "model", { enumerable: true, get: () => {
      throw new Error("a trap")
    } })
    const [trapped, answered] = await collect(client.createAll([trap, say("one")], { ordered: true }))
    expect([trapped, answered]).toMatchObject([{ status: "rejected",
      reason: { _tag: "InvalidRequestError" } }, { status: "fulfilled" }])
    assert.lengthOf(await collect(client.createAll([say("x")], null as never)), 1)
  })
})
