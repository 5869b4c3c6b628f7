import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it, layer as provide } from "@effect/vitest"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { gzipSync } from "node:zlib"
import { checked } from "../../src/Body.js"
import { connectionError } from "../../src/internal/connectionError.js"
import { layerTransport } from "../../src/platform/effect/index.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as Transport from "../../src/Transport.js"
import * as Servers from "../support/servers.js"

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
  ["node:http", NodeTransport.layer],
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
        const answer = yield* exchange(echo, { method: "POST", headers: { "X-Payload-ID": "id" }, body: { length: 3, chunks: ["\u0000", "\u007f\n"] } })
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
      ["32 levels deep", "[".repeat(32) + "]".repeat(32), JSON.parse("[".repeat(32) + "]".repeat(32))],
      ["33 levels deep", "[".repeat(33) + "]".repeat(33), undefined],
      ["deep in one place of several", `{"a":1,"b":${"{\"c\":".repeat(32)}{}${"}".repeat(32)}}`, undefined],
      ["a text alone", "\"why\"", "why"],
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
        const error = yield* Effect.flip(exchange((_, response) => body(response, 503, "", { "retry-after": date })))
        assert.approximately((error as { retryAfter?: number }).retryAfter!, 29_500, 1500)
      }))

    it.scoped.each([300, 301, 302, 303, 307, 308, 399])("refuses a %i and does not go there", (status) =>
      Effect.gen(function*() {
        let visits = 0
        const error = yield* Effect.flip(exchange((_, response) => {
          visits++
          body(response, status, "", { location: "/elsewhere" })
        }))
        assert.deepInclude(error, {
          _tag: "SecurityError",
          reason: "redirect",
          message: "The router answered with a redirect, which is not followed"
        })
        assert.strictEqual(visits, 1)
      }))

    it.scoped("refuses a body beyond the limit, compressed or not, and takes one at the limit", () =>
      Effect.gen(function*() {
        assert.lengthOf(yield* exchange((_, response) => body(response, 200, "x".repeat(1000))), 1000)
        const large = yield* Effect.flip(exchange((_, response) => body(response, 200, "x".repeat(1001))))
        assert.deepInclude(large, { _tag: "SecurityError", reason: "response-too-large", message: "The answer is larger than 1000 bytes" })
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

    it.scoped.each([
      ["sk-0123456789", "Bearer [API key] is not a key"],
      ["sk-01234", "Bearer [API key] is not a key"],
      ["sk-0123", "Bearer sk-0123 is not a key"]
    ])("repeats no API key that the router repeats, if it is one: %s", ([key, said]) =>
      Effect.gen(function*() {
        const echo: Http.RequestListener = ({ headers }, response) =>
          body(response, 401, JSON.stringify({ detail: `${headers.authorization} is not a key` }))
        const error = yield* Effect.flip(exchange(echo, { headers: { Authorization: `Bearer ${key}` } }))
        assert.strictEqual(error.message, `The router answered 401: ${said}`)
        assert.deepInclude(error, { errorDetails: { detail: said! } })
      }))

    it.scoped("keeps an error's class and cuts its body", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(200_000)}"}`)))
        assert.strictEqual(error._tag, "ServerError")
        assert.isBelow(JSON.stringify(error).length, 1000)
        assert.strictEqual(error.message, "The router answered 500")
        const long = yield* Effect.flip(exchange((_, response) => body(response, 500, `{"detail":"${"x".repeat(60_000)}"}`)))
        assert.strictEqual(long.message, `The router answered 500: ${"x".repeat(500)}`)
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
        assert.deepInclude(short, {
          _tag: "APIConnectionError",
          reason: "truncated",
          message: "The connection was lost before the answer was complete"
        })
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
      ["a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"],
      ["a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\nlots\r\n1234\r\n0\r\n\r\n"],
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
            socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", () => setTimeout(() => socket.resetAndDestroy(), 20)))
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

    it.scoped.each([1000, 100_000, 1_000_000])("fails as its body does, of %i bytes", (length) =>
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

    it.scoped.each([1000, 1_000_000])("sends no body of %i bytes that is shorter or longer than it says, or not ASCII", (length) =>
      Effect.gen(function*() {
        const half = "a".repeat(length / 2)
        const less = half.slice(1)
        for (const chunks of [[half, less], [half, half, "a"], [half, less, "\u00e9"], [half, less.slice(1), "\u00e9"]]) {
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
      }))

    it.scoped("shows nothing of the request in an error", () =>
      Effect.gen(function*() {
        const chunks = ["SENTINEL"]
        const request = { method: "POST" as const, headers: { Authorization: "Bearer SENTINEL" }, body: { length: 8, chunks } }
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

describe("NodeTransport", () => {
  /** A server that answers every request in the same way, and counts its connections. */
  const counting = (answer: (socket: Net.Socket) => void) => {
    const seen = { connections: 0, open: 0 }
    return Effect.map(
      Servers.tcpServer((socket) => {
        seen.connections++
        seen.open++
        socket.on("data", () => answer(socket)).on("close", () => seen.open--)
      }),
      (url) => ({ url, seen })
    )
  }
  const live = { excludeTestServices: true }
  const real = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"

  provide(NodeTransport.layer, live)((it) => {
    it.scoped("keeps a connection for the next request, after an error too", () =>
      Effect.gen(function*() {
        const { seen, url } = yield* counting((socket) => socket.write(real))
        const failing = yield* counting((socket) => socket.write("HTTP/1.1 503 Sorry\r\nContent-Length: 2\r\n\r\n{}"))
        for (let i = 0; i < 3; i++) {
          assert.lengthOf(yield* send(url), 4)
          assert.strictEqual((yield* Effect.flip(send(failing.url)))._tag, "ServiceUnavailableError")
        }
        assert.deepStrictEqual([seen.connections, failing.seen.connections], [1, 1])
      }))

    it.scoped("uses no connection twice whose answer was not read to its end, or was followed by more", () =>
      Effect.gen(function*() {
        for (
          const answer of [
            `${real}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 10\r\n\r\n12345",
            `HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n${"x".repeat(1500)}`
          ]
        ) {
          const { seen, url } = yield* counting((socket) => socket.write(answer))
          const first = yield* Effect.exit(send(url))
          assert.deepStrictEqual(yield* Effect.exit(send(url)), first)
          assert.strictEqual(seen.connections, 2)
        }
      }))

    it.scoped("takes nothing for an answer that came before it asked", () =>
      Effect.gen(function*() {
        const stray = yield* Deferred.make<void>()
        let requests = 0
        const { url } = yield* counting((socket) => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${++requests}`)
          setTimeout(() => socket.write(real, () => setTimeout(() => Deferred.unsafeDone(stray, Effect.void), 20)), 20)
        })
        assert.strictEqual(new TextDecoder().decode(yield* send(url)), "1")
        yield* Deferred.await(stray)
        assert.strictEqual(new TextDecoder().decode(yield* send(url)), "2")
      }))

    it.scoped("takes no compressed answer, which it did not ask for", () =>
      Effect.gen(function*() {
        let asked: string | undefined
        const gzip: Http.RequestListener = (request, response) => {
          asked = request.headers["accept-encoding"] as string | undefined
          body(response, request.url === "/" ? 200 : 401, gzipSync("{}"), { "content-encoding": "gzip" })
        }
        const url = yield* Servers.httpServer(gzip)
        assert.deepInclude(yield* Effect.flip(send(`${url}/`)), { _tag: "APIConnectionError", reason: "protocol" })
        assert.strictEqual(asked, "identity")
        assert.strictEqual((yield* Effect.flip(send(`${url}/401`)))._tag, "AuthenticationError")
      }))

    it.scoped("does not send a request again by itself when the router closes under it", () =>
      Effect.gen(function*() {
        let requests = 0
        const { seen, url } = yield* counting((socket) => ++requests === 1 ? socket.write(real) : socket.destroy())
        yield* send(url)
        assert.deepInclude(yield* Effect.flip(send(url, { method: "POST" })), { _tag: "APIConnectionError", reason: "network" })
        assert.deepStrictEqual([requests, seen.connections], [2, 1])
      }))

    it.scoped("fails with a typed error for what cannot be sent", () =>
      Effect.gen(function*() {
        const url = yield* Servers.httpServer((_, response) => body(response, 200, ""))
        const error = yield* Effect.flip(send(url, { headers: { "X-Payload-ID": "SENTINEL\r\nX-Evil: 1" } }))
        assert.deepInclude(error, { _tag: "APIConnectionError", reason: "network" })
        assert.notInclude(JSON.stringify(error), "SENTINEL")
      }))

    it.scoped("checks certificates whatever the environment says", () =>
      Effect.gen(function*() {
        const tls = yield* Effect.promise(Servers.certificate)
        const url = yield* Servers.router({ tls })
        process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
        yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]))
        assert.deepInclude(yield* Effect.flip(send(`${url}/pki/public_key`)), { _tag: "SecurityError", reason: "certificate" })
      }))
  })

  it.scopedLive("closes its connections with its scope", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const { seen, url } = yield* counting((socket) => socket.on("close", () => Deferred.unsafeDone(closed, Effect.void)).write(real))
      yield* Effect.provide(
        Effect.zipRight(send(url), Effect.sync(() => assert.strictEqual(seen.open, 1))),
        NodeTransport.layer
      )
      // an idle one would be closed after four
      yield* Effect.timeout(Deferred.await(closed), "2 seconds")
    }))
})

describe("Transport.make", () => {
  const stream = async function*(chunks: number) {
    for (let n = 0; n < chunks; n++) yield Uint8Array.of(120)
  }
  const transport = (chunks: number) =>
    Transport.make(() => Effect.succeed({ status: 200, header: () => undefined, body: stream(chunks) }))
  const request = { method: "GET", url: "", headers: {}, maxResponseBytes: 300_000 } as const

  const answering = (response: Partial<Transport.Response>, options: Partial<Transport.Request> = {}) =>
    Transport.make(() => Effect.succeed({ status: 200, header: () => undefined, body: stream(0), ...response })).send({ ...request, ...options })

  it("gives no more of a body than its length, and nothing whole that is not right", () => {
    for (const chunks of [["ab", "cd", "ef", "g"], ["ab", "cd", "e"], ["ab", "c"]]) {
      const given: Array<string> = []
      assert.throws(() => {
        for (const chunk of checked({ length: 4, chunks }).chunks) given.push(chunk)
      }, SecurityError)
      assert.deepStrictEqual(given, ["ab"])
    }
  })

  it.effect("takes a body in as many chunks as it has bytes, and in one", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* transport(300_000).send(request), 300_000)
      const whole = new Uint8Array(300_000).fill(120)
      const atOnce = async function*() {
        yield whole
      }
      assert.deepStrictEqual(yield* answering({ body: atOnce() }), whole)
      assert.deepInclude(yield* Effect.flip(transport(300_001).send(request)), { reason: "response-too-large" })
    }))

  it("has a name of its own among the services", () => {
    assert.strictEqual(Transport.Transport.key, "nomyo-js/Transport")
  })

  it.effect("knows a redirect for which a browser shows no status", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* Effect.flip(answering({ status: 0 })), { _tag: "SecurityError", reason: "redirect" })
    }))

  it.effect("reads a wait from headers with blanks around", () =>
    Effect.gen(function*() {
      const wait = (name: string, value: string) =>
        Effect.map(Effect.flip(answering({ status: 429, header: (header) => header === name ? value : null })), (error) =>
          (error as { retryAfter?: number }).retryAfter)
      assert.strictEqual(yield* wait("retry-after-ms", " 250 "), 250)
      assert.strictEqual(yield* wait("retry-after", " 7\t"), 7000)
      const midnight = Effect.succeed(Date.UTC(2030, 0, 1))
      const clock: Clock.Clock = Object.assign(Object.create(yield* Effect.clock), { currentTimeMillis: midnight })
      assert.strictEqual(yield* Effect.withClock(wait("retry-after", "Tue, 01 Jan 2030 00:01:00 GMT"), clock), 60_000)
    }))

  it.effect("puts a blank in place of control characters", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(answering({
        status: 400,
        body: (async function*() {
          yield new TextEncoder().encode(JSON.stringify({ detail: "a\r\n\u001b[2Jb\u007f\u0080\u009f~\u00a0 c" }))
        })()
      }))
      assert.strictEqual(error.message, "The router answered 400: a [2Jb ~\u00a0 c")
    }))

  it.effect("finds an API key without its scheme in what a router says", () =>
    Effect.gen(function*() {
      const body = (text: string) => (async function*() {
        yield new TextEncoder().encode(text)
      })()
      const headers = { Authorization: "Bearer sk-0123456789" }
      const error = yield* Effect.flip(answering({ status: 401, body: body("{\"detail\":\"sk-0123456789 is no key, sk-0123456789\"}") }, { headers }))
      assert.strictEqual(error.message, "The router answered 401: [API key] is no key, [API key]")
    }))

  it.live("gives up an error's body that stalls, and closes what it reads in every case", () =>
    Effect.gen(function*() {
      let closed = 0
      const endless = (next: () => Promise<IteratorResult<Uint8Array>>): AsyncIterable<Uint8Array> => ({
        [Symbol.asyncIterator]: () => ({
          next,
          return: () => {
            closed++
            return Promise.reject(new Error("it cannot be closed"))
          }
        })
      })
      const stalled = endless(() => new Promise(() => undefined))
      assert.strictEqual((yield* Effect.flip(answering({ status: 500, body: stalled })))._tag, "ServerError")
      assert.strictEqual(closed, 1)
      const large = endless(() => Promise.resolve({ done: false, value: new Uint8Array(1000) }))
      assert.strictEqual((yield* Effect.flip(answering({ body: large })))._tag, "SecurityError")
      assert.strictEqual(closed, 2)
      assert.strictEqual((yield* Effect.flip(answering({ status: 302, body: large })))._tag, "SecurityError")
      assert.strictEqual(closed, 3)
      const unclosable = { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true as const, value: undefined }) }) }
      assert.lengthOf(yield* answering({ body: unclosable }), 0)
    }))

  it.effect("calls it no HTTP if a parser says so within a body", () =>
    Effect.gen(function*() {
      const failing = async function*(error: unknown): AsyncGenerator<Uint8Array> {
        yield Uint8Array.of(120)
        throw error
      }
      const parser = yield* Effect.flip(answering({ body: failing(Object.assign(new Error("x"), { code: "HPE_INVALID_CHUNK_SIZE" })) }))
      assert.deepInclude(parser, { reason: "protocol", message: "The router's answer is not HTTP (HPE_INVALID_CHUNK_SIZE)" })
      for (const error of [Object.assign(new Error("x"), { code: "ECONNRESET" }), "no error", undefined]) {
        assert.deepInclude(yield* Effect.flip(answering({ body: failing(error) })), { reason: "truncated" })
      }
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
    const error = connectionError(new TypeError("fetch failed", { cause: Object.assign(new Error("SENTINEL"), { code }) }))
    assert.deepInclude(error, { _tag: "SecurityError", reason: "certificate", message: `The router's TLS certificate is not trusted (${code})` })
    assert.notInclude(JSON.stringify(error), "SENTINEL")
  })

  it.each(["ECONNREFUSED", "ENOTFOUND", "ECONNRESET", "UND_ERR_SOCKET", undefined])("knows %s for the network's", (code) => {
    assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), {
      reason: "network",
      message: `The router could not be reached${code === undefined ? "" : ` (${code})`}`
    })
  })

  it.each(["MY_HPE_1", "UND_ERR_HEADERS_OVERFLOWN", "X_UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT_2"])("takes %s for no code that it knows", (code) => {
    assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), { reason: "network" })
  })

  it("looks for a code in eight causes, and in no more", () => {
    const buried = (depth: number): Error =>
      depth === 0 ? Object.assign(new Error("x"), { code: "ECONNREFUSED" }) : new Error("y", { cause: buried(depth - 1) })
    assert.include(connectionError(buried(7)).message, "ECONNREFUSED")
    assert.notInclude(connectionError(buried(8)).message, "ECONNREFUSED")
    const circular = new Error("z")
    circular.cause = circular
    for (const error of [circular, Object.assign(new Error("x"), { code: 7 }), { code: "ECONNREFUSED" }, "ECONNREFUSED", undefined]) {
      assert.strictEqual(connectionError(error).message, "The router could not be reached")
    }
  })

  it("knows a parser's error that has no code", () => {
    const error = Object.assign(new Error("x"), { name: "HTTPParserError" })
    assert.deepInclude(connectionError(error), { reason: "protocol", message: "The router's answer is not HTTP (HPE_INVALID)" })
  })

  it.each(["HPE_INVALID_CONSTANT", "UND_ERR_HEADERS_OVERFLOW", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH"])("knows %s for the router's", (code) => {
    assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), { _tag: "APIConnectionError", reason: "protocol" })
  })

  it.each(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"])("knows %s for a client's own timeout", (code) => {
    const error = connectionError(Object.assign(new Error("x"), { code }))
    assert.deepInclude(error, { _tag: "APIConnectionError", reason: "timeout", message: `The router was silent for too long (${code})` })
  })
})

describe("Transport.fromFetch", () => {
  const request = { method: "POST", url: "https://router.test/x", headers: { a: "b" }, maxResponseBytes: 100 } as const

  it.effect("tells fetch to follow nothing, send nothing of the user's, and keep nothing", () =>
    Effect.gen(function*() {
      const calls: Array<readonly [unknown, RequestInit]> = []
      const transport = Transport.fromFetch((url, init) => {
        calls.push([url, init!])
        return Promise.resolve(new Response("real"))
      })
      yield* transport.send({ ...request, body: { length: 2, chunks: ["a", "b"] } })
      yield* transport.send({ ...request, method: "GET" })
      const strict = { headers: { a: "b" }, redirect: "manual", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" }
      assert.deepStrictEqual(calls.map(([url, { signal: _, ...init }]) => [url, init]), [
        [request.url, { method: "POST", body: Uint8Array.of(97, 98), ...strict }],
        [request.url, { method: "GET", ...strict }]
      ])
    }))

  it.effect("takes an answer that has no body", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* Transport.fromFetch(() => Promise.resolve(new Response(null))).send(request), 0)
    }))

  it.effect("cancels what it does not read, whatever comes of that", () =>
    Effect.gen(function*() {
      let cancelled = 0
      const aborted: Array<boolean> = []
      const stream = () =>
        new ReadableStream<Uint8Array>({
          pull: (controller) => controller.enqueue(new Uint8Array(60)),
          cancel: () => {
            cancelled++
            throw new Error("it cannot be cancelled")
          }
        })
      const transport = Transport.fromFetch((_, { signal } = {}) => {
        signal!.addEventListener("abort", () => aborted.push(true))
        return Promise.resolve(new Response(stream()))
      })
      assert.deepInclude(yield* Effect.flip(transport.send(request)), { reason: "response-too-large" })
      yield* Effect.promise(() => new Promise(setImmediate))
      assert.deepStrictEqual([cancelled, aborted], [1, [true]])
    }))
})

describe("Transport on an HttpClient that follows redirects", () => {
  it.scopedLive("finds it out", () => {
    const following = Layer.provide(
      layerTransport,
      Layer.map(NodeHttpClient.layer, (context) => {
        const { unsafeMap } = context as unknown as { readonly unsafeMap: Map<string, HttpClient.HttpClient> }
        const client = HttpClient.followRedirects(unsafeMap.get(HttpClient.HttpClient.key)!)
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
