import { assert, describe, layer as provide } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import * as Transport from "../../src/Transport.js"
import * as Servers from "../support/servers.js"
import { body, transports } from "../support/transports.js"

const request = { method: "GET", headers: {}, maxResponseBytes: 1000 } as const

/** Opens an answer of a server that answers like this. */
const open = (listener: Http.RequestListener, options: Partial<Transport.Request> = {}) =>
  Effect.gen(function*() {
    const url = yield* Servers.httpServer(listener)
    const transport = yield* Transport.Transport
    return yield* transport.open({ ...request, url, ...options })
  })

const text = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString()

/** Bytes up to this length: clients may cut chunks anew. */
const pullText = Effect.fnUntraced(function*(opened: Transport.Opened, length: number) {
  let all = ""
  while (all.length < length) {
    const next = text(yield* opened.pull)
    if (next === undefined) return all
    all += next
  }
  return all
})

describe.each(transports)("Transport.open, %s", (_, layer) => {
  provide(layer, { excludeTestServices: true })((it) => {
    it.scoped("gives the body's bytes while the server is still writing", () =>
      Effect.gen(function*() {
        let finish = (): void => undefined
        const opened = yield* open((_, response) => {
          response.writeHead(200, { "content-type": "text/x" }).write("first")
          finish = () => void response.end("second")
        })
        assert.strictEqual(opened.header("content-type"), "text/x")
        assert.strictEqual(yield* pullText(opened, 5), "first")
        finish()
        assert.strictEqual(yield* pullText(opened, 6), "second")
        assert.strictEqual(yield* opened.pull, undefined)
      }))

    it.scoped("sends bytes as they are", () =>
      Effect.gen(function*() {
        const all = Uint8Array.from({ length: 300_000 }, (_, i) => i & 0xff)
        for (const bytes of [all.slice(0, 300), all]) {
          const chunks = [bytes.slice(0, 100), bytes.slice(100)]
          const opened = yield* open((request, response) => {
            const received: Array<Buffer> = []
            request.on("data", (chunk: Buffer) => received.push(chunk)).on("end", () =>
              body(response, 200, String(Buffer.concat(received).equals(bytes))))
          }, { method: "POST", body: { length: bytes.length, chunks } })
          assert.strictEqual(yield* pullText(opened, 4), "true")
        }
      }))

    it.scoped("fails with the error of a status, and for a redirect", () =>
      Effect.gen(function*() {
        const unavailable = yield* Effect.flip(open((_, response) =>
          body(response, 503, JSON.stringify({ detail: "Later" }), { "retry-after": "3" })))
        assert.deepInclude(unavailable, { _tag: "ServiceUnavailableError", retryAfter: 3000 })
        const redirect = yield* Effect.flip(open((_, response) => body(response, 302, "", { location: "/" })))
        assert.deepInclude(redirect, { _tag: "SecurityError", reason: "redirect" })
      }))

    it.scoped("fails within the body for a lost connection, and for a body over the limit", () =>
      Effect.gen(function*() {
        const cut = yield* open((_, response) => {
          response.writeHead(200).write("first")
          setTimeout(() => response.destroy(), 50)
        })
        yield* pullText(cut, 5)
        assert.deepInclude(yield* Effect.flip(cut.pull), { _tag: "APIConnectionError", reason: "truncated" })
        const long = yield* open((_, response) => body(response, 200, "a".repeat(1001)))
        assert.deepInclude(yield* Effect.flip(pullText(long, 1001)), {
          _tag: "SecurityError",
          reason: "response-too-large"
        })
      }))

    it.scoped("closes the connection with the scope", () =>
      Effect.gen(function*() {
        let closed = (): void => undefined
        const isClosed = new Promise<void>((resolve) => closed = resolve)
        const url = yield* Servers.httpServer((_, response) => {
          response.on("close", closed).writeHead(200).write("first")
        })
        const transport = yield* Transport.Transport
        yield* Effect.scoped(Effect.flatMap(transport.open({ ...request, url }), ({ pull }) => pull))
        yield* Effect.promise(() => isClosed)
      }))
  })
})
