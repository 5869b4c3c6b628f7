import { assert, describe, it, layer as provide } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { gzipSync } from "node:zlib"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as Servers from "../support/servers.js"
import { body, send } from "../support/transports.js"

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
        const failing = yield* counting((socket) =>
          socket.write("HTTP/1.1 503 Sorry\r\nContent-Length: 2\r\n\r\n{}")
        )
        for (let i = 0; i < 3; i++) {
          assert.lengthOf(yield* send(url), 4)
          assert.strictEqual((yield* Effect.flip(send(failing.url)))._tag, "ServiceUnavailableError")
        }
        assert.deepStrictEqual(
          { answered: seen.connections, failed: failing.seen.connections },
          { answered: 1, failed: 1 }
        )
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
          setTimeout(
            () => socket.write(real, () => setTimeout(() => Deferred.unsafeDone(stray, Effect.void), 20)),
            20
          )
        })
        assert.strictEqual(new TextDecoder().decode(yield* send(url)), "1")
        yield* Deferred.await(stray)
        assert.strictEqual(new TextDecoder().decode(yield* send(url)), "2")
      }))

    it.scoped.each(["Identity", "IDENTITY", "", " ", "identity, identity"])(
      "takes a Content-Encoding of %j for none",
      (encoding) =>
        Effect.gen(function*() {
          const plain: Http.RequestListener = (_, response) =>
            body(response, 200, "real", { "content-encoding": encoding })
          assert.lengthOf(yield* send(yield* Servers.httpServer(plain)), 4)
        })
    )

    it.scoped("takes no compressed answer, which it did not ask for", () =>
      Effect.gen(function*() {
        let asked: string | undefined
        const gzip: Http.RequestListener = (request, response) => {
          asked = request.headers["accept-encoding"] as string | undefined
          body(response, request.url === "/" ? 200 : 401, gzipSync("{}"), { "content-encoding": "gzip" })
        }
        const url = yield* Servers.httpServer(gzip)
        assert.deepInclude(yield* Effect.flip(send(`${url}/`)), { _tag: "APIConnectionError",
          reason: "protocol" })
        assert.strictEqual(asked, "identity")
        assert.strictEqual((yield* Effect.flip(send(`${url}/401`)))._tag, "AuthenticationError")
      }))

    it.scoped("does not send a request again by itself when the router closes under it", () =>
      Effect.gen(function*() {
        let requests = 0
        const { seen, url } = yield* counting((socket) =>
          ++requests === 1 ? socket.write(real) : socket.destroy()
        )
        yield* send(url)
        assert.deepInclude(yield* Effect.flip(send(url, { method: "POST" })), { _tag: "APIConnectionError",
          reason: "network" })
        assert.deepStrictEqual({ requests, connections: seen.connections }, { requests: 2, connections: 1 })
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
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"])
        )
        assert.deepInclude(yield* Effect.flip(send(`${url}/pki/public_key`)), { _tag: "SecurityError",
          reason: "certificate" })
      }))
  })

  it.scopedLive("closes its connections with its scope", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const { seen, url } = yield* counting((socket) =>
        socket.on("close", () => Deferred.unsafeDone(closed, Effect.void)).write(real)
      )
      yield* Effect.provide(
        Effect.zipRight(send(url), Effect.sync(() => assert.strictEqual(seen.open, 1))),
        NodeTransport.layer
      )
      // an idle one would be closed after four
      yield* Effect.timeout(Deferred.await(closed), "2 seconds")
    }))
})
