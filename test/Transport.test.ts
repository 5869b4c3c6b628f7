import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
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
import { layerTransport } from "../src/platform/effect/index.js"
import * as Transport from "../src/Transport.js"
import * as Servers from "./support/servers.js"

const body = (response: Http.ServerResponse, status: number, content: string | Uint8Array, headers: Http.OutgoingHttpHeaders = {}) => {
  response.writeHead(status, headers).end(content)
}

const send = (url: string, options: Partial<Transport.Request> = {}) =>
  Effect.flatMap(Transport.Transport, (transport) => transport.send({ method: "GET", url, headers: {}, maxResponseBytes: 1000, ...options }))

/** One exchange with a server that answers like this. */
const exchange = (listener: Http.RequestListener, options?: Partial<Transport.Request>) =>
  Effect.flatMap(Servers.httpServer(listener), (url) => send(url, options))

/** One exchange with a server that writes these bytes and closes. */
const raw = (...chunks: ReadonlyArray<string>) =>
  Effect.flatMap(
    Servers.tcpServer((socket) => {
      socket.once("data", () => {
        for (const chunk of chunks) socket.write(chunk)
        socket.end()
      })
    }),
    send
  )

const transports = [
  ["fetch", Transport.layer],
  ["HttpClient on fetch", Layer.provide(layerTransport, FetchHttpClient.layer)],
  ["HttpClient on node:http", Layer.provide(layerTransport, NodeHttpClient.layer)],
  ["HttpClient on undici", Layer.provide(layerTransport, NodeHttpClient.layerUndici)]
] as const

describe.each(transports)("Transport, %s", (name, layer) => {
  provide(layer, { excludeTestServices: true })((it) => {
    it.scoped("gets and posts bytes", () =>
      Effect.gen(function*() {
        const echo: Http.RequestListener = (request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
            body(response, 200, `${request.method} ${request.headers["x-payload-id"]} ${Buffer.concat(chunks).toString("hex")}`)
          })
        }
        const answer = yield* exchange(echo, { method: "POST", headers: { "X-Payload-ID": "id" }, body: new Uint8Array([0, 255, 128]) })
        assert.strictEqual(new TextDecoder().decode(answer), "POST id 00ff80")
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
        for (const header of ["traceparent", "tracestate", "b3", "cookie", "referer"]) assert.notProperty(sent, header)
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
      ["a list", "{\"detail\":[1]}", { detail: [1] }],
      ["missing", "{}", {}],
      ["in HTML", "<html>", undefined],
      ["empty", "", undefined],
      ["null", "null", null],
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
      [{ "retry-after": "soon" }, undefined],
      [{}, undefined]
    ])("reads the wait from %j", ([headers, wait]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => body(response, 429, "", headers)))
        assert.strictEqual((error as { retryAfter?: number }).retryAfter, wait)
      }))

    it.scoped("reads a date to wait for", () =>
      Effect.gen(function*() {
        const date = new Date(Date.now() + 30_000).toUTCString()
        const error = yield* Effect.flip(exchange((_, response) => body(response, 503, "", { "retry-after": date })))
        assert.approximately((error as { retryAfter?: number }).retryAfter!, 29_500, 1500)
      }))

    it.scoped.each([301, 302, 303, 307, 308])("refuses a %i and does not go there", (status) =>
      Effect.gen(function*() {
        let visits = 0
        const error = yield* Effect.flip(exchange((_, response) => {
          visits++
          body(response, status, "", { location: "/elsewhere" })
        }))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "redirect" })
        assert.strictEqual(visits, 1)
      }))

    it.scoped("refuses a body beyond the limit, compressed or not, and takes one at the limit", () =>
      Effect.gen(function*() {
        assert.lengthOf(yield* exchange((_, response) => body(response, 200, "x".repeat(1000))), 1000)
        const large = yield* Effect.flip(exchange((_, response) => body(response, 200, "x".repeat(1001))))
        assert.deepInclude(large, { _tag: "SecurityError", reason: "response-too-large" })
        let written = 0
        const endless = yield* Effect.flip(exchange((_, response) => {
          response.writeHead(200)
          const pump = (): void => void (!response.destroyed && response.write("x".repeat(1000), () => ++written && setImmediate(pump)))
          pump()
        }))
        assert.deepInclude(endless, { _tag: "SecurityError", reason: "response-too-large" })
        assert.isBelow(written, 5000)
        if (name.includes("fetch")) {
          const bomb = gzipSync(Buffer.alloc(5_000_000))
          const error = yield* Effect.flip(exchange((_, response) => body(response, 200, bomb, { "content-encoding": "gzip" })))
          assert.deepInclude(error, { _tag: "SecurityError", reason: "response-too-large" })
        }
      }))

    it.scoped("keeps an error's class and cuts its body", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(200_000)}"}`)))
        assert.strictEqual(error._tag, "ServerError")
        assert.isBelow(JSON.stringify(error).length, 1000)
        const long = yield* Effect.flip(exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(20_000)}"}`)))
        assert.isBelow(long.message.length, 600)
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
        const hungUp = yield* Effect.flip(raw())
        assert.deepInclude(hungUp, { _tag: "APIConnectionError", reason: "network" })
        const short = yield* Effect.flip(raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "only this"))
        assert.deepInclude(short, { _tag: "APIConnectionError", reason: "truncated" })
        const halfChunk = yield* Effect.flip(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "64\r\nonly this"))
        assert.deepInclude(halfChunk, { _tag: "APIConnectionError", reason: "truncated" })
        const cutError = yield* Effect.flip(raw("HTTP/1.1 503 Sorry\r\nContent-Length: 100\r\n\r\n", "only this"))
        assert.deepInclude(cutError, { _tag: "ServiceUnavailableError" })
      }))

    it.scoped("calls what is not HTTP by its name", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(raw("SSH-2.0-OpenSSH_9.2\r\n"))
        assert.deepInclude(error, { _tag: "APIConnectionError", reason: "protocol" })
      }))

    it.scoped("refuses a certificate that nobody vouches for", () =>
      Effect.gen(function*() {
        const tls = yield* Effect.promise(Servers.certificate)
        const url = yield* Servers.router({ tls })
        assert.match(url, /^https:/)
        const error = yield* Effect.flip(send(`${url}/pki/public_key`))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "certificate" })
      }))

    it.scoped.each(["before the headers", "within the body"])("closes the socket when interrupted %s", (phase) =>
      Effect.gen(function*() {
        const asked = yield* Deferred.make<void>()
        const closed = yield* Deferred.make<void>()
        const url = yield* Servers.tcpServer((socket: Net.Socket) => {
          socket.once("data", () => {
            if (phase === "within the body") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            Deferred.unsafeDone(asked, Effect.void)
          }).on("close", () => Deferred.unsafeDone(closed, Effect.void))
        })
        const fiber = yield* Effect.fork(send(url))
        yield* Deferred.await(asked)
        yield* Effect.sleep("20 millis")
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(closed)
      }))

    it.scoped("shows nothing of the request in an error", () =>
      Effect.gen(function*() {
        const request = { method: "POST" as const, headers: { Authorization: "Bearer SENTINEL" }, body: new TextEncoder().encode("SENTINEL") }
        const errors = [
          yield* Effect.flip(send("http://127.0.0.1:1", request)),
          yield* Effect.flip(exchange((_, response) => body(response, 500, ""), request)),
          yield* Effect.flip(exchange((_, response) => body(response, 302, ""), request))
        ]
        for (const error of errors) {
          assert.notInclude(JSON.stringify(error) + String(error) + error.stack + String(error.cause), "SENTINEL")
        }
      }))
  })
})

describe("Transport.make", () => {
  const stream = (chunks: number) => {
    let n = 0
    return new ReadableStream<Uint8Array>({
      pull: (controller) => n++ < chunks ? controller.enqueue(Uint8Array.of(120)) : controller.close()
    })
  }
  const transport = (chunks: number) =>
    Transport.make(() => Effect.succeed({ status: 200, header: () => undefined, body: stream(chunks) }))
  const request = { method: "GET", url: "", headers: {}, maxResponseBytes: 300_000 } as const

  it.effect("takes a body in as many pieces as it has bytes", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* transport(300_000).send(request), 300_000)
      assert.deepInclude(yield* Effect.flip(transport(300_001).send(request)), { reason: "response-too-large" })
    }))

  it.each([
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "CERT_HAS_EXPIRED",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "HOSTNAME_MISMATCH",
    "INVALID_CA",
    "INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED",
    "CERT_REVOKED"
  ])("knows %s for a certificate's fault", (code) => {
    const error = Transport.connectionError(new TypeError("fetch failed", { cause: Object.assign(new Error("SENTINEL"), { code }) }))
    assert.deepInclude(error, { _tag: "SecurityError", reason: "certificate" })
    assert.notInclude(JSON.stringify(error), "SENTINEL")
  })

  it.each(["ECONNREFUSED", "ENOTFOUND", "ECONNRESET", "UND_ERR_SOCKET", undefined])("knows %s for the network's", (code) => {
    assert.deepInclude(Transport.connectionError(Object.assign(new Error("x"), { code })), { reason: "network" })
  })

  it("knows a client's own timeout", () => {
    const error = Transport.connectionError(Object.assign(new Error("x"), { code: "UND_ERR_HEADERS_TIMEOUT" }))
    assert.deepInclude(error, { _tag: "APIConnectionError", reason: "timeout" })
  })
})

describe("Transport on an HttpClient that follows redirects", () => {
  it.scopedLive("finds it out", () => {
    const following = Layer.provide(
      layerTransport,
      Layer.map(NodeHttpClient.layer, (context) => {
        const client = HttpClient.followRedirects((context as unknown as { unsafeMap: Map<string, HttpClient.HttpClient> }).unsafeMap.get(HttpClient.HttpClient.key)!)
        return (context as unknown as { unsafeMap: Map<string, unknown> }).unsafeMap.set(HttpClient.HttpClient.key, client) && context
      })
    )
    return Effect.gen(function*() {
      const url = yield* Servers.httpServer((request, response) =>
        request.url === "/elsewhere" ? body(response, 200, "secret") : body(response, 302, "", { location: "/elsewhere" }))
      const error = yield* Effect.flip(send(url))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "redirect" })
    }).pipe(Effect.provide(following))
  })
})
