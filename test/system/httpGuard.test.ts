import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Net from "node:net"
import { text } from "node:stream/consumers"
import { guarded } from "../../src/cli/routerGuard.js"
import { serve } from "../../src/cli/serve.js"
import { makeTokens } from "../../src/internal/httpGuard.js"

const options = { host: "127.0.0.1", allowHost: ["Chat.Example"],
  allowOrigin: ["https://chat.example", "app://obsidian.md"] }

/** The guards in front of an app that counts what reaches it. */
const start = Effect.gen(function*() {
  let reached = 0
  const app = Effect.sync(() => HttpServerResponse.text(`reached ${++reached}`))
  const url = yield* serve(guarded(options, false)(app), { host: "127.0.0.1", port: 0 })
  return { port: new URL(url).port, reached: () => reached }
})

interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
}

/** A request by hand: `fetch` sets `Host` and the `Sec-` headers itself. */
const ask = (port: string, line: string,
  headers: { readonly [name: string]: string }): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const socket = Net.connect(Number(port), "127.0.0.1")
    const lines = Object.entries({ ...headers, Connection: "close", "Content-Length": "0" }).map((
      [name, value]
    ) => `${name}: ${value}\r\n`)
    socket.write(`${line} HTTP/1.${"Host" in headers ? 1 : 0}\r\n${lines.join("")}\r\n`)
    const [head = ""] = (await text(socket)).split("\r\n\r\n")
    const [status = "", ...fields] = head.split("\r\n")
    return {
      status: Number(status.split(" ")[1]),
      headers: Object.fromEntries(fields.map((field) => {
        const [name = "", ...value] = field.split(": ")
        return [name.toLowerCase(), value.join(": ")]
      }))
    }
  })

const statuses = (
  cases: ReadonlyArray<
    readonly [what: string, line: string, headers: { readonly [name: string]: string }, status: number]
  >
) =>
  Effect.gen(function*() {
    const { port, reached } = yield* start
    const got: { [what: string]: number } = {}
    for (const [what, line, headers] of cases) {
      const filled = Object.entries(headers).map(([name, value]) => [name, value.replace("PORT", port)])
      got[what] = (yield* ask(port, line, Object.fromEntries(filled))).status
    }
    assert.deepStrictEqual(got, Object.fromEntries(cases.map(([what, , , status]) => [what, status])))
    assert.strictEqual(reached(), cases.filter(([, , , status]) => status === 200).length)
  })

describe("the guards of a server on this machine", () => {
  it.scopedLive("take a Host that is theirs, whatever its case and port, and no other", () =>
    statuses([
      ...["127.0.0.1", "localhost", "LOCALHOST:PORT", "localhost:1", "[::1]", "[::1]:PORT", "chat.example",
        "CHAT.example:443"]
        .map((Host) => [Host, "GET /health", { Host }, 200] as const),
      ...[
        "evil",
        "evil:PORT",
        "localhost.evil",
        "127.0.0.1.evil",
        "evil.localhost",
        "localhost.",
        "localhost:80:80",
        "localhost@evil",
        "127.0.0.2",
        "0.0.0.0",
        "[::2]",
        "::1"
      ].map((Host) => [Host, "GET /health", { Host }, 403] as const),
      ["none", "GET /health", {}, 403],
      ["theirs and another", "GET /health", { Host: "localhost", host: "evil" }, 403],
      ["another and theirs", "GET /health", { Host: "evil", host: "localhost" }, 403],
      ["another one in the target", "GET http://evil/health", { Host: "localhost" }, 403],
      ["a target without a path", "OPTIONS *", { Host: "localhost" }, 403]
    ]))

  const octets = { "Content-Type": "application/octet-stream" }

  it.scopedLive("take requests without an origin, of their own, and of those that are allowed", () => {
    const post = "POST /v1/chat/secure_completion"
    const from = (Origin: string, more: object = {}) => ({ Host: "127.0.0.1:PORT", ...octets, Origin,
      ...more })
    return statuses([
      ["no origin", post, { Host: "127.0.0.1:PORT", ...octets }, 200],
      ["their own", post, from("http://127.0.0.1:PORT"), 200],
      ["allowed", post, from("https://chat.example"), 200],
      ["an app", post, from("app://obsidian.md"), 200],
      ["null", post, from("null"), 403],
      ["empty", post, from(""), 403],
      ["another port", post, from("http://127.0.0.1:1"), 403],
      ["another scheme", post, from("https://127.0.0.1:PORT"), 403],
      ["another name of this machine", post, from("http://localhost:PORT"), 403],
      ["another site", post, from("https://evil.example"), 403],
      ["a longer name", post, from("https://chat.example.evil"), 403],
      ["another app", post, from("app://evil"), 403],
      ["their own and a path", post, from("http://127.0.0.1:PORT/evil"), 403],
      ["their own and a user", post, from("http://evil@127.0.0.1:PORT"), 403],
      ["their own and another", post, from("http://127.0.0.1:PORT", { origin: "https://evil.example" }), 403],
      ["an origin and another", post, from("https://chat.example, https://evil.example"), 403],
      ["an image of another site", "GET /v1/models", { Host: "localhost", "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image" }, 403],
      ["a frame of another port", "GET /", { Host: "localhost", "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe" }, 403],
      ["a link of another site", "GET /", { Host: "localhost", "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" }, 200],
      ["the address bar", "GET /", { Host: "localhost", "Sec-Fetch-Site": "none" }, 200]
    ])
  })

  it.scopedLive("take no body that a form can send", () => {
    const post = (type: string) =>
      ["POST /v1/chat/secure_completion", { Host: "localhost",
        ...(type === "" ? {} : { "Content-Type": type }) }] as const
    return statuses([
      ...["application/octet-stream", "application/json", "Application/JSON; charset=utf-8"].map((type) =>
        [type, ...post(type), 200] as const
      ),
      ...["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/jsonx", "text/plain; application/json"]
        .map((type) => [type, ...post(type), 415] as const),
      ["two types", "POST /v1/chat/secure_completion", { Host: "localhost", "Content-Type": "application/json",
        "content-type": "text/plain" }, 415],
      ["a PUT", "PUT /", { Host: "localhost", "Content-Type": "text/plain" }, 415]
    ])
  })

  it.scopedLive("answer the preflight of an allowed origin, and echo what it asks for", () =>
    Effect.gen(function*() {
      const { port, reached } = yield* start
      const preflight = (Origin: string) =>
        ask(port, "OPTIONS /v1/chat/secure_completion", {
          Host: `127.0.0.1:${port}`,
          Origin,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "authorization,x-stainless-os",
          "Access-Control-Request-Private-Network": "true"
        })
      const allowed = yield* preflight("https://chat.example")
      assert.deepInclude(allowed, { status: 204 })
      assert.deepInclude(allowed.headers, {
        "access-control-allow-origin": "https://chat.example",
        "access-control-allow-headers": "authorization,x-stainless-os",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-private-network": "true",
        vary: "Origin"
      })
      const refused = yield* preflight("https://evil.example")
      assert.strictEqual(refused.status, 403)
      assert.notProperty(refused.headers, "access-control-allow-origin")
      assert.strictEqual(reached(), 0)
      const post = yield* ask(port, "POST /", { Host: "localhost", Origin: "https://chat.example",
        ...octets })
      assert.deepInclude(post.headers, { "access-control-allow-origin": "https://chat.example",
        vary: "Origin" })
    }))
})

describe("bearer tokens", () => {
  it.effect("are found by their digests", () =>
    Effect.gen(function*() {
      const find = yield* makeTokens(
        ["alice", "bob"].map((label) => ({ label, token: Redacted.make(`sk-${label}`) }))
      )
      const labelOf = (authorization: string | undefined) =>
        Effect.map(find(authorization), (token) => token?.label)
      const given = ["Bearer sk-alice", "bearer  sk-bob", "sk-alice", "Bearer sk-alic", "Bearer ", "",
        undefined, "Basic sk-bob"]
      assert.deepStrictEqual(yield* Effect.forEach(given, labelOf), [
        "alice",
        "bob",
        ...Array.from({ length: 6 }, () => undefined)
      ])
    }))
})
