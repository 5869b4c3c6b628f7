import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it, layer as provide } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { gzipSync } from "node:zlib"
import { SecurityError } from "../../src/NomyoError.js"
import { layerTransport } from "../../src/platform/effect/index.js"
import * as Servers from "../support/servers.js"
import { body, exchange, raw, send, transports } from "../support/transports.js"

describe.each(transports)("Transport, %s", (name, layer) => {
  provide(layer, { excludeTestServices: true })((it) => {
    it.scoped("gets and posts bytes", () =>
      Effect.gen(function*() {
        const echo: Http.RequestListener = (request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
            body(response, 200,
              `${request.method} ${request.headers["x-payload-id"]} ${Buffer.concat(chunks).toString("hex")}`)
          })
        }
        const answer = yield* exchange(echo, { method: "POST", headers: { "X-Payload-ID": "id" },
          body: { length: 3, chunks: ["\u0000", "\u007f\n"] } })
        assert.strictEqual(new TextDecoder().decode(answer), "POST id 007f0a")
        assert.lengthOf(yield* exchange((_, response) => body(response, 200, "")), 0)
      }))

    it.scoped("sends no trace headers and no cookies", () =>
      Effect.gen(function*() {
        let sent: Http.IncomingHttpHeaders = {}
        yield* Effect.withSpan(
          exchange((request, response) => {
            sent = request.headers
            body(response, 200, "")
          }),
          "a span of the caller"
        )
        for (const header of ["traceparent", "tracestate", "b3", "cookie", "referer"]) assert.notProperty(
          sent,
          header
        )
      }))

    it.scoped.each([
      [400, "InvalidRequestError"],
      [401, "AuthenticationError"],
      [403, "ForbiddenError"],
      [404, "APIError"],
      [429, "RateLimitError"],
      [500, "ServerError"],
      [502, "APIError"],
      [503, "ServiceUnavailableError"],
      [204, "APIError"],
      [418, "APIError"]
    ])("maps the status %i", ([status, tag]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) =>
          body(response, status as number, JSON.stringify({ detail: "because" }))))
        assert.deepInclude(error, { _tag: tag as "APIError", statusCode: status as number })
        if (status !== 204) assert.include(error.message, "because")
      }))

    it.scoped.each<[string, string | undefined, unknown]>([
      ["a string", "{\"detail\":\"why\"}", { detail: "why" }],
      ["a list of other things", "{\"detail\":[1, null, [2]]}", { detail: [] }],
      ["an object", "{\"detail\":{\"input\":\"my prompt\"},\"error\":\"my prompt\"}", undefined],
      ["missing", "{}", undefined],
      ["inherited", "{\"__proto__\":{\"detail\":\"why\"}}", undefined],
      ["in HTML", "<html>", undefined],
      ["empty", "", undefined],
      ["null", "null", undefined],
      ["deep", "[".repeat(5000) + "]".repeat(5000), undefined],
      ["deep in a path", `{"detail":[{"loc":[${"[".repeat(5000) + "]".repeat(5000)}]}]}`, {
        detail: [{ loc: [] }]
      }],
      ["a text alone", "\"why\"", undefined],
      ["a known reason", "{\"detail\":\"why\",\"reason\":\"model_not_found\"}", { detail: "why",
        reason: "model_not_found" }],
      ["a reason of its own", "{\"detail\":\"why\",\"reason\":\"my prompt\"}", { detail: "why" }],
      ["a terminal's escape", "{\"detail\":\"\\u001b[2J\\r\\n!\"}", { detail: "\u001b[2J\r\n!" }]
    ])("keeps the class whatever the detail is: %s", ([, content, errorDetails]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => body(response, 400, content!)))
        assert.strictEqual(error._tag, "InvalidRequestError")
        assert.deepStrictEqual((error as { errorDetails?: unknown }).errorDetails, errorDetails)
        // oxlint-disable-next-line no-control-regex
        assert.notMatch(error.message, /[\u0000-\u001f]/)
      }))

    it.scoped.each<[Http.OutgoingHttpHeaders, number | undefined]>([
      [{ "retry-after": "7" }, 7000],
      [{ "retry-after": "0.5" }, 500],
      [{ "retry-after-ms": "250", "retry-after": "7" }, 250],
      [{ "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" }, 0],
      [{ "retry-after": "Sunday, 06-Nov-94 08:49:37 GMT" }, 0],
      [{ "retry-after": "soon" }, undefined],
      [{ "retry-after": "1 2" }, undefined],
      [{ "retry-after-ms": "12 monkeys", "retry-after": "7" }, 7000],
      [{ "retry-after-ms": "12 monkeys" }, undefined],
      [{ "retry-after": "0.125" }, 125],
      [{ "retry-after": "in 7" }, undefined],
      [{ "retry-after": "not before Mon, 01 Jan 2999 00:00:00 GMT" }, undefined],
      [{ "retry-after": "Monday" }, undefined],
      [{}, undefined]
    ])("reads the wait from %j", ([headers, wait]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => body(response, 429, "", headers)))
        assert.strictEqual((error as { retryAfter?: number }).retryAfter, wait)
      }))

    it.scoped("reads a date to wait for", () =>
      Effect.gen(function*() {
        const date = new Date(Date.now() + 30_000).toUTCString()
        const error = yield* Effect.flip(
          exchange((_, response) => body(response, 503, "", { "retry-after": date }))
        )
        assert.approximately((error as { retryAfter?: number }).retryAfter!, 29_500, 1500)
      }))

    it.scoped.each([300, 301, 302, 303, 307, 308, 399])("refuses a %i and does not go there", (status) =>
      Effect.gen(function*() {
        let visits = 0
        const error = yield* Effect.flip(exchange((_, response) => {
          visits++
          body(response, status, "", { location: "/elsewhere" })
        }))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "redirect" })
        assert.match(error.message, /^http:\/\/127\.0\.0\.1:\d+ answered with a redirect, .*Set baseUrl/)
        assert.strictEqual(visits, 1)
      }))

    it.scoped("refuses a body beyond the limit, compressed or not, and takes one at the limit", () =>
      Effect.gen(function*() {
        assert.lengthOf(yield* exchange((_, response) => body(response, 200, "x".repeat(1000))), 1000)
        const large = yield* Effect.flip(exchange((_, response) => body(response, 200, "x".repeat(1001))))
        assert.deepInclude(large, { _tag: "SecurityError", reason: "response-too-large",
          message: "The answer is larger than 1000 bytes. Raise maxResponseBytes, or ask for less" })
        let written = 0
        const endless = yield* Effect.flip(exchange((_, response) => {
          response.writeHead(200)
          const pump = (): void =>
            void (!response.destroyed &&
              response.write("x".repeat(1000), () => ++written && setImmediate(pump)))
          pump()
        }))
        assert.deepInclude(endless, { _tag: "SecurityError", reason: "response-too-large" })
        assert.isBelow(written, 5000)
        if (name.includes("fetch")) {
          const bomb = gzipSync(Buffer.alloc(5_000_000))
          const error = yield* Effect.flip(
            exchange((_, response) => body(response, 200, bomb, { "content-encoding": "gzip" }))
          )
          assert.deepInclude(error, { _tag: "SecurityError", reason: "response-too-large" })
        }
      }))

    it.scoped.each([
      ["sk-0123456789", "Bearer [API key] is not a key"],
      ["sk-01234", "Bearer [API key] is not a key"],
      ["sk-0123", "Bearer sk-0123 is not a key"]
    ])("repeats no API key that the router repeats, if it is one: %s", ([key, said]) =>
      Effect.gen(function*() {
        const echo: Http.RequestListener = ({ headers }, response) =>
          body(response, 401, JSON.stringify({ detail: `${headers.authorization} is not a key` }))
        const error = yield* Effect.flip(exchange(echo, { headers: { Authorization: `Bearer ${key}` } }))
        assert.strictEqual(error.message, `The router answered 401: ${said}. Check apiKey`)
        assert.deepInclude(error, { errorDetails: { detail: said! } })
      }))

    it.scoped("keeps an error's class and cuts its body", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(
          exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(200_000)}"}`))
        )
        assert.strictEqual(error._tag, "ServerError")
        assert.isBelow(JSON.stringify(error).length, 1000)
        assert.strictEqual(error.message, "The router answered 500. Try again later")
        const long = yield* Effect.flip(
          exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(60_000)}"}`))
        )
        assert.strictEqual(long.message, `The router answered 500: ${"x".repeat(500)}. Try again later`)
      }))

    it.scoped("keeps an error's class when its body stalls", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => {
          response.writeHead(401, { "content-length": 100 }).write("{")
        }))
        assert.strictEqual(error._tag, "AuthenticationError")
      }))

    it.scoped("tells a connection that failed from one that was cut short", () =>
      Effect.gen(function*() {
        const refused = yield* Effect.flip(send("http://127.0.0.1:1"))
        assert.deepInclude(refused, { _tag: "APIConnectionError", reason: "network" })
        assert.match(refused.message, /^Could not reach http:\/\/127\.0\.0\.1:1\b.*baseUrl, NOMYO_BASE_URL/)
        const hungUp = yield* Effect.flip(raw())
        assert.deepInclude(hungUp, { _tag: "APIConnectionError", reason: "network" })
        const short = yield* Effect.flip(raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "only this"))
        assert.deepInclude(short, {
          _tag: "APIConnectionError",
          reason: "truncated",
          message: "The connection was lost before the answer was complete. Try again"
        })
        const halfChunk = yield* Effect.flip(
          raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "64\r\nonly this")
        )
        assert.deepInclude(halfChunk, { _tag: "APIConnectionError", reason: "truncated" })
        const cutError = yield* Effect.flip(
          raw("HTTP/1.1 503 Sorry\r\nContent-Length: 100\r\n\r\n", "only this")
        )
        assert.deepInclude(cutError, { _tag: "ServiceUnavailableError" })
      }))

    it.scoped("calls what is not HTTP by its name", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(raw("SSH-2.0-OpenSSH_9.2\r\n"))
        assert.deepInclude(error, { _tag: "APIConnectionError", reason: "protocol" })
      }))

    it.scoped("waits for the answer behind an interim one", () =>
      Effect.gen(function*() {
        const answer = yield* raw(
          "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"
        )
        assert.strictEqual(new TextDecoder().decode(answer), "real")
      }))

    it.scoped.each([
      ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n12345"],
      ["no number for a length", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n12345"],
      ["a length and chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"],
      ["a chunk without a size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\nlots\r\n1234\r\n0\r\n\r\n"],
      ["endless headers", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(1_000_000)}\r\n\r\n`]
    ])("takes no answer with %s", ([, answer]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(raw(answer!))
        assert.strictEqual(error._tag, "APIConnectionError")
        if (name === "node:http") assert.deepInclude(error, { reason: "protocol" })
      }))

    it.scoped("calls an answer truncated that ends in a reset", () =>
      Effect.gen(function*() {
        const url = yield* Servers.tcpServer((socket) => {
          socket.once("data", () =>
            socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", () =>
              setTimeout(() => socket.resetAndDestroy(), 20)))
        })
        assert.deepInclude(yield* Effect.flip(send(url)), { _tag: "APIConnectionError", reason: "truncated" })
      }))

    it.scoped("refuses a certificate that nobody vouches for", () =>
      Effect.gen(function*() {
        const tls = yield* Effect.promise(Servers.certificate)
        const url = yield* Servers.router({ tls })
        assert.match(url, /^https:/)
        const error = yield* Effect.flip(send(`${url}/pki/public_key`))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "certificate" })
      }))

    it.scoped.each(["before the headers", "within the body"])("closes the socket when interrupted %s",
      (phase) =>
        Effect.gen(function*() {
          const asked = yield* Deferred.make<void>()
          const closed = yield* Deferred.make<void>()
          const url = yield* Servers.tcpServer((socket: Net.Socket) => {
            socket.once("data", () => {
              if (phase === "within the body") socket.write(
                "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
              )
              Deferred.unsafeDone(asked, Effect.void)
            }).on("close", () => Deferred.unsafeDone(closed, Effect.void))
          })
          const fiber = yield* Effect.fork(send(url))
          yield* Deferred.await(asked)
          yield* Effect.sleep("20 millis")
          yield* Fiber.interrupt(fiber)
          yield* Deferred.await(closed)
        }))

    it.scoped.each([1000, 100_000, 1_000_000])("fails as its body does, of %i bytes",
      (length) =>
        Effect.gen(function*() {
          const failure = new SecurityError({ reason: "encryption", message: "No more of it" })
          const chunks = function*() {
            yield "a".repeat(length / 2)
            throw failure
          }
          const error = yield* Effect.flip(exchange((request, response) => {
            request.resume().on("end", () => body(response, 200, ""))
          }, { method: "POST", body: { length, chunks: chunks() } }))
          assert.strictEqual(error, failure)
        }))

    it.scoped.each([1000, 1_000_000])(
      "sends no body of %i bytes that is shorter or longer than it says, or not ASCII",
      (length) =>
        Effect.gen(function*() {
          const half = "a".repeat(length / 2)
          const less = half.slice(1)
          for (const chunks of [[half, less], [half, half, "a"], [half, less, "\u00e9"], [half, less.slice(1),
            "\u00e9"]]) {
            let isRead = false
            const error = yield* Effect.flip(exchange((request, response) => {
              request.resume().on("error", () => undefined).on("end", () => {
                isRead = request.complete
                body(response, 200, "read")
              })
            }, { method: "POST", body: { length, chunks } }))
            assert.deepInclude(error, { _tag: "SecurityError", reason: "encryption" })
            assert.isFalse(isRead)
          }
        })
    )

    it.scoped("shows nothing of the request in an error", () =>
      Effect.gen(function*() {
        const chunks = ["SENTINEL"]
        const request = { method: "POST" as const, headers: { Authorization: "Bearer SENTINEL" },
          body: { length: 8, chunks } }
        const errors = [
          yield* Effect.flip(send("http://127.0.0.1:1", request)),
          yield* Effect.flip(exchange((_, response) => body(response, 500, ""), request)),
          yield* Effect.flip(exchange((_, response) => body(response, 302, ""), request))
        ]
        for (const error of errors) {
          assert.notInclude(JSON.stringify(error) + String(error) + error.stack + String(error.cause),
            "SENTINEL")
        }
      }))
  })
})

describe("NODE_TLS_REJECT_UNAUTHORIZED=0", () => {
  const url = "https://127.0.0.1:1/pki/public_key"
  const withoutTls = Effect.acquireRelease(
    Effect.sync(() => {
      process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
    }),
    () => Effect.sync(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"])
  )

  it.scopedLive.each(transports.filter(([name]) => name !== "node:http"))("fetches only a pinned key: %s",
    ([, layer]) =>
      Effect.gen(function*() {
        yield* withoutTls
        const refused = yield* Effect.flip(send(url))
        assert.deepInclude(refused, { _tag: "SecurityError", reason: "certificate" })
        assert.include(refused.message, "NODE_TLS_REJECT_UNAUTHORIZED=0")
        for (const allowed of [send(url, { isKeyPinned: true }), send("http://127.0.0.1:1")]) {
          assert.deepInclude(yield* Effect.flip(allowed), { _tag: "APIConnectionError", reason: "network" })
        }
      }).pipe(Effect.provide(layer)))
})

describe("Transport on an HttpClient that follows redirects", () => {
  it.scopedLive("finds it out", () => {
    const following = Layer.provide(
      layerTransport,
      Layer.map(NodeHttpClient.layer, (context) => {
        const { unsafeMap } = context as unknown as { readonly unsafeMap: Map<string, HttpClient.HttpClient> }
        const client = HttpClient.followRedirects(unsafeMap.get(HttpClient.HttpClient.key)!)
        return (context as unknown as { unsafeMap: Map<string, unknown> }).unsafeMap.set(
          HttpClient.HttpClient.key,
          client
        ) && context
      })
    )
    return Effect.gen(function*() {
      const url = yield* Servers.httpServer((request, response) =>
        request.url === "/elsewhere"
          ? body(response, 200, "secret")
          : body(response, 302, "", { location: "/elsewhere" })
      )
      const error = yield* Effect.flip(send(url))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "redirect" })
    }).pipe(Effect.provide(following))
  })
})
