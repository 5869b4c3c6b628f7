import { createPublicKey, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib"
import type { PublicKey } from "../../src/Crypto.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import {
  type Ask,
  type Behaviour,
  changed,
  type Honest,
  ended,
  honest,
  http,
  inTurn,
  pumped,
  raw,
  reset,
  type Script,
  sealed,
  trickled
} from "./hostile.js"
import * as Mocks from "./mocks.js"
import * as Vectors from "./vectors.js"

/** What a call came to: `answer`, or the error's class with its reason. */
export type Outcome =
  | "answer"
  | "InvalidRequestError"
  | "AuthenticationError"
  | "ForbiddenError"
  | "RateLimitError"
  | "ServerError"
  | "ServiceUnavailableError"
  | "APIError"
  | `APIConnectionError ${"network" | "truncated" | "protocol" | "timeout"}`
  | `SecurityError ${"redirect" | "router-key" | "response-too-large" | "envelope" | "replay"}`

/** One way for a router to misbehave, and what must come of it. */
export interface Fault {
  /** What the reader of the table is told; faults of one name and one outcome share a row. */
  readonly name: string
  /** What tells the faults of one name apart. */
  readonly variant?: string | undefined
  readonly script: Script
  readonly expect: Outcome
  /** What `fetch` makes of it, where that is something else. */
  readonly fetch?: Outcome | undefined
  /** The client's own options. Default: no retries, ten seconds, answers of up to 1 MiB. */
  readonly options?: NomyoConfig.Options | undefined
  /** One good request comes before, so that the router's key is there and a connection is open. */
  readonly warm?: boolean | undefined
  /** The most bytes the router may get rid of. */
  readonly mostWritten?: number | undefined
  /** The most requests the router may see. */
  readonly mostRequests?: number | undefined
  /** Takes seconds, or a lot of memory of this test: not for every run. */
  readonly slow?: boolean | undefined
}

const MiB = 2 ** 20
/**
 * What the kernel holds of a connection on both sides: up to 4 MiB sent, and 6 MiB received (tcp_wmem,
 * tcp_rmem), and some.
 */
const BUFFERS = 12 * MiB
const stalls = { timeout: 300 } as const

/** The same at both of the router's endpoints. */
const both = (name: string, behaviour: Behaviour, expect: Outcome,
  more: Partial<Fault> = {}): ReadonlyArray<Fault> =>
  (["key", "completion"] as const).map((path) => ({ name, expect, ...more, variant: path,
    script: { [path]: behaviour } })
  )

const key = (name: string, behaviour: Behaviour, expect: Outcome = "SecurityError router-key",
  more: Partial<Fault> = {}): Fault => ({
  name,
  script: { key: behaviour },
  expect,
  ...more
})

const completion = (name: string, behaviour: Behaviour, expect: Outcome,
  more: Partial<Fault> = {}): Fault => ({
  name,
  script: { completion: behaviour },
  expect,
  ...more
})

const connection = (name: string, script: Script["connection"], expect: Outcome,
  more: Partial<Fault> = {}): Fault => ({
  name,
  script: { connection: script },
  expect,
  ...more
})

// ----------------------------------------------------------------------------
// Statuses

const classes: ReadonlyArray<readonly [status: number, expect: Outcome]> = [
  [201, "APIError"],
  [202, "APIError"],
  [204, "APIError"],
  [206, "APIError"],
  [400, "InvalidRequestError"],
  [401, "AuthenticationError"],
  [402, "APIError"],
  [403, "ForbiddenError"],
  [404, "APIError"],
  [405, "APIError"],
  [408, "APIError"],
  [413, "APIError"],
  [415, "APIError"],
  [418, "APIError"],
  [422, "APIError"],
  [429, "RateLimitError"],
  [431, "APIError"],
  [451, "APIError"],
  [500, "ServerError"],
  [501, "APIError"],
  [502, "APIError"],
  [503, "ServiceUnavailableError"],
  [504, "APIError"],
  [599, "APIError"],
  [999, "APIError"]
]

const deep = (open: string, close: string, depth: number, middle = ""): string =>
  open.repeat(depth) + middle + close.repeat(depth)

const details: ReadonlyArray<readonly [variant: string, body: string | Uint8Array]> = [
  ["a string", "{\"detail\":\"because\"}"],
  ["a list", "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"because\"}]}"],
  ["an object", "{\"detail\":{\"why\":{\"because\":1}}}"],
  ["missing", "{\"error\":\"because\"}"],
  ["null", "{\"detail\":null}"],
  ["an own __proto__", "{\"__proto__\":{\"polluted\":1},\"detail\":{\"__proto__\":{\"polluted\":1}}}"],
  ["60 KiB deep", deep("[", "]", 30_000)],
  ["full of control characters", "{\"detail\":\"\\u001b[2J\\u0007\\r\\nSet-Cookie: a=b\"}"],
  ["cut short", "{\"detail\":\"beca"],
  ["HTML", "<html><body>because</body></html>"],
  ["not UTF-8", Uint8Array.of(0xff, 0xfe, 0xfd)],
  ["nothing", ""]
]

/**
 * Every status with every body; not for every run, unless each status has had its turn with one of them, and
 * a 400 with all.
 */
const statuses = classes.flatMap(([status, expect], i) =>
  details.flatMap(([variant, body], j) =>
    both(`status ${status}, with a \`detail\` of any type, a body that is not JSON, or no body`,
      http(status, status === 204 ? "" : body), expect)
      .map((fault) => ({ ...fault, variant: `${fault.variant}, ${variant}`,
        slow: status !== 400 && i % details.length !== j })
      )
  )
)

const echoes = ["{\"detail\":\"Not a key: %\"}", "{\"detail\":{\"headers\":[\"%\"]}}", "{\"%\":1}", "%"].map((
  body
) =>
  completion("an error that repeats the `Authorization` header", (ask) =>
    http(401, body.replace("%", ask.headers.authorization!))(ask), "AuthenticationError", {
    variant: body
  }))

const redirects = [300, 301, 302, 303, 304, 305, 307, 308].flatMap((status) =>
  ["/elsewhere", "//127.0.0.1:1/", "file:///etc/passwd", "javascript:0", "", undefined].flatMap((location) =>
    both("a redirect to any kind of address", http(status, "", location === undefined ? {} : { location }),
      "SecurityError redirect", { mostRequests: 2 })
      .map((fault) => ({ ...fault, variant: `${fault.variant}, ${status} to ${location}`,
        slow: status !== 302 && location !== "/elsewhere" })
      )
  )
)

const waits = ["99999999999", "9".repeat(400), "1e400", "-1", "NaN", "soon", "",
  "Thu, 01 Jan 2099 00:00:00 GMT", "0x10"].map((wait) =>
  completion("a `Retry-After` that is huge or not a time", http(429, "", { "retry-after": wait }),
    "RateLimitError", { variant: wait.slice(0, 30) })
)

// ----------------------------------------------------------------------------
// The wire

const ok = (length: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
const gzipped = (headers: string) =>
  `HTTP/1.1 200 OK\r\nContent-Encoding: ${headers}\r\nTransfer-Encoding: chunked\r\n\r\n`
const chunk = (bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])
/** 64 MiB of zeros in 64 KiB of gzip. */
const bomb = (() => {
  let compressed: Uint8Array | undefined
  return () => compressed ??= gzipSync(Buffer.alloc(64 * MiB))
})()
const halved = changed(({ body }, ask) =>
  http(200, gzipSync(body).subarray(0, 100), { "content-encoding": "gzip" })(ask)
)
const huge = "x".repeat(64 * 1024)

/** What is wrong before there is an answer to look at. */
export const wire = (): ReadonlyArray<Fault> => [
  connection("reset at once", (socket) => void socket.resetAndDestroy(), "APIConnectionError network"),
  connection("closed at once", (socket) => void socket.destroy(), "APIConnectionError network"),
  connection("closes its sending side at once", (socket) => void socket.end(), "APIConnectionError network"),
  connection("never reads, never writes", (socket) => void socket.pause(), "APIConnectionError timeout", {
    options: stalls
  }),
  connection("reads and is silent", (socket) => void socket.resume(), "APIConnectionError timeout", {
    options: stalls
  }),
  connection("answers before it is asked",
    (socket) => void socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
    "SecurityError router-key"),
  connection("another protocol: SSH", (socket) => void socket.end("SSH-2.0-OpenSSH_9.2\r\n"),
    "APIConnectionError protocol"),
  ...both("another protocol: SSH", raw("SSH-2.0-OpenSSH_9.2\r\n"), "APIConnectionError protocol"),
  ...both("another protocol: TLS", raw(Uint8Array.of(0x15, 3, 1, 0, 2, 2, 0x28)),
    "APIConnectionError protocol"),
  ...both("another protocol: HTTP/2", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "APIConnectionError protocol"),
  ...both("another protocol: HTTP/0.9", ended("<html></html>"), "APIConnectionError protocol"),
  ...both("random bytes", ended(randomBytes(10_000)), "APIConnectionError protocol"),
  ...both("a header without a colon", raw("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    "APIConnectionError protocol"),
  ...both("a NUL in a header", raw("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"), "APIConnectionError protocol"),
  ...both("a status that is no number", raw("HTTP/1.1 abc OK\r\n\r\n"), "APIConnectionError protocol"),
  ...both("headers that never end, fast", pumped("HTTP/1.1 200 OK\r\n", `A: ${huge}\r\n`),
    "APIConnectionError protocol", {
      mostWritten: BUFFERS
    }),
  ...both("one header that never ends", pumped("HTTP/1.1 200 OK\r\nA: ", huge), "APIConnectionError protocol",
    { mostWritten: BUFFERS }),
  ...both("headers that never end, slowly", trickled("HTTP/1.1 200 OK\r\n", "A: b\r\n"),
    "APIConnectionError timeout", { options: stalls }),
  ...both("100 Continue without end", trickled("", "HTTP/1.1 100 Continue\r\n\r\n"),
    "APIConnectionError timeout", {
      options: stalls,
      fetch: "APIConnectionError network"
    }),
  ...both("103 Early Hints without end", trickled("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "APIConnectionError timeout", {
      options: stalls
    }),
  ...both("1xx answers before the real one", async (ask) => {
    ask.socket.write("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    await honest(ask)
  }, "answer"),
  ...both("101 Switching Protocols",
    raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "APIConnectionError protocol", {
      fetch: "APIConnectionError network"
    }),

  ...both("reset before the headers", reset(), "APIConnectionError network"),
  ...both("closed before the headers", ended(), "APIConnectionError network"),
  ...both("silent before the headers", raw(), "APIConnectionError timeout", { options: stalls }),
  ...both("reset within the headers", reset("HTTP/1.1 200 OK\r\nContent-Le"), "APIConnectionError network"),
  ...both("closed within the headers", ended("HTTP/1.1 200 OK\r\nContent-Le"), "APIConnectionError network"),
  ...both("silent within the headers", raw("HTTP/1.1 200 OK\r\nContent-Le"), "APIConnectionError timeout", {
    options: stalls
  }),
  ...both("reset after the headers", reset(ok(100)), "APIConnectionError truncated"),
  ...both("closed after the headers", ended(ok(100)), "APIConnectionError truncated"),
  ...both("silent after the headers", raw(ok(100)), "APIConnectionError timeout", { options: stalls }),
  ...both("reset within the body", reset(ok(100), "only this"), "APIConnectionError truncated"),
  ...both("closed within the body", ended(ok(100), "only this"), "APIConnectionError truncated"),
  ...both("silent within the body", raw(ok(100), "only this"), "APIConnectionError timeout", {
    options: stalls
  }),
  ...both("a byte at a time", trickled(ok(100_000), "x"), "APIConnectionError timeout", { options: stalls }),
  ...both("a chunk that ends early", ended(chunked, "64\r\nonly this"), "APIConnectionError truncated"),
  ...both("chunks without the last one", ended(chunked, "4\r\nthis\r\n"), "APIConnectionError truncated"),
  ...both("a chunk whose size is no number", raw(chunked, "xyz\r\nthis\r\n"), "APIConnectionError protocol"),
  ...both("a chunk of impossible size", raw(chunked, "fffffffffffffffff\r\nthis\r\n"),
    "APIConnectionError protocol"),
  ...both("an error status cut short", ended("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\n{\"det"),
    "ForbiddenError"),
  ...both("an error status whose body stalls", raw("HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\n{\"det"),
    "AuthenticationError", { slow: true }),

  // a proxy's status, which `fetch` takes for a failure of the network
  ...both("status 407", http(407), "APIError", { fetch: "APIConnectionError network" }),

  ...both("`Content-Length` that is no number", raw("HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n"),
    "APIConnectionError protocol"),
  ...both("`Content-Length` below zero", raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "APIConnectionError protocol"),
  ...both("two different `Content-Length`",
    raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
    "APIConnectionError protocol"),
  ...both("`Content-Length` and chunks at once",
    raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nthis\r\n0\r\n\r\n"),
    "APIConnectionError protocol"),
  completion("`Content-Length` too small",
    changed(({ body }, { socket }) =>
      void socket.write(Buffer.concat([Buffer.from(ok(body.length - 1)), body]))
    ), "APIConnectionError protocol", {
      fetch: "SecurityError envelope"
    }),
  key("`Content-Length` too small",
    changed(({ body }, { socket }) =>
      void socket.write(Buffer.concat([Buffer.from(ok(body.length - 30)), body]))
    ), "APIConnectionError protocol", {
      fetch: "SecurityError router-key"
    }),
  ...both("`Content-Length` too large", changed(({ body }, { socket }) => {
    socket.end(Buffer.concat([Buffer.from(ok(body.length + 1)), body]))
  }), "APIConnectionError truncated"),
  ...both("more after the end",
    changed(({ body }, { socket }) =>
      void socket.write(
        Buffer.concat([Buffer.from(ok(body.length)), body, Buffer.from("HTTP/1.1 200 OK\r\n\r\nmore")])
      )
    ), "answer"),
  ...both("no length at all",
    changed(({ body }, { socket }) =>
      void socket.end(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), body]))
    ), "answer"),

  ...both("1 GiB, announced", pumped(ok(2 ** 30), huge), "SecurityError response-too-large", {
    mostWritten: BUFFERS
  }),
  ...both("1 GiB, in chunks", pumped(chunked, chunk(Buffer.from(huge))), "SecurityError response-too-large", {
    mostWritten: BUFFERS
  }),
  ...both("1 GiB with an error status", pumped("HTTP/1.1 500 No\r\nContent-Length: 1073741824\r\n\r\n", huge),
    "ServerError", { mostWritten: BUFFERS }),
  ...both("1 GiB with a redirect",
    pumped("HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 1073741824\r\n\r\n", huge),
    "SecurityError redirect", { mostWritten: BUFFERS }),
  completion("1 GiB, at the default limit of 64 MiB", pumped(ok(2 ** 30), huge),
    "SecurityError response-too-large", {
      options: { maxResponseBytes: undefined, timeout: 60_000 },
      mostWritten: 64 * MiB + BUFFERS,
      slow: true
    }),
  ...both("a gzip bomb", (ask) => http(200, bomb(), { "content-encoding": "gzip" })(ask),
    "APIConnectionError protocol", { fetch: "SecurityError response-too-large" }),
  ...both("a gzip bomb in gzip",
    (ask) => http(200, gzipSync(bomb()), { "content-encoding": "gzip, gzip" })(ask),
    "APIConnectionError protocol", { fetch: "SecurityError response-too-large" }),
  ...both("a gzip bomb with an error status", (ask) => http(503, bomb(), { "content-encoding": "gzip" })(ask),
    "ServiceUnavailableError"),
  ...both("gzip that never ends", (ask) => pumped(gzipped("gzip"), chunk(bomb()))(ask),
    "APIConnectionError protocol", { fetch: "SecurityError response-too-large", mostWritten: BUFFERS }),
  ...both("a Brotli bomb",
    (ask) => http(200, brotliCompressSync(Buffer.alloc(8 * MiB)), { "content-encoding": "br" })(ask),
    "APIConnectionError protocol", { fetch: "SecurityError response-too-large" }),
  ...both("a deflate bomb",
    (ask) => http(200, deflateSync(Buffer.alloc(8 * MiB)), { "content-encoding": "deflate" })(ask),
    "APIConnectionError protocol", { fetch: "SecurityError response-too-large" }),
  ...both("gzip that is none", http(200, "this is no gzip", { "content-encoding": "gzip" }),
    "APIConnectionError protocol", { fetch: "APIConnectionError truncated" }),
  // `fetch` takes what there is of a gzip stream for all of it
  completion("gzip cut short", halved, "APIConnectionError protocol", { fetch: "SecurityError envelope" }),
  key("gzip cut short", halved, "APIConnectionError protocol", { fetch: "SecurityError router-key" }),
  ...both("100 encodings",
    http(200, "x", { "content-encoding": Array.from({ length: 100 }, () => "gzip").join(", ") }),
    "APIConnectionError protocol", { fetch: "APIConnectionError network" }),

  completion("a kept connection closed under the next request", inTurn(honest, ended(), honest),
    "APIConnectionError network", { warm: true }),
  completion("a kept connection reset under the next request", inTurn(honest, reset(), honest),
    "APIConnectionError network", { warm: true }),
  completion("a kept connection closed under the next request, with a retry", inTurn(honest, ended(), honest),
    "answer", { warm: true, options: { maxRetries: 1 }, mostRequests: 4 }),
  completion("a 503, a reset and a cut answer in turn, with retries",
    inTurn(http(503), reset(), ended(ok(10), "x"), honest), "answer", {
      options: { maxRetries: 3 },
      slow: true
    }),
  completion("a stall, and then an answer, with a retry", inTurn(raw(), honest), "answer", {
    options: { maxRetries: 1, timeout: 1000 }
  })
]

// ----------------------------------------------------------------------------
// Keys

const pem = (name: string) => Fs.readFileSync(Vectors.path(`keys/${name}`), "utf8")
const serverPem = pem("server_4096.pub.pem")

/** A public key of so many bits that belongs to nobody. */
const madeUp = (bits: number, exponent = 65_537): string => {
  const modulus = randomBytes(bits / 8)
  modulus[0]! |= 0x80
  modulus[modulus.length - 1]! |= 1
  const jwk = { kty: "RSA", n: modulus.toString("base64url"),
    e: Buffer.from(exponent.toString(16).padStart(8, "0"), "hex").toString("base64url") }
  return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" }) as string
}

const keys: ReadonlyArray<Fault> = [
  key("a key of 1024 bits", http(200, pem("rejected_1024.pub.pem"))),
  key("a key of 512 bits", http(200, madeUp(512))),
  ...[1, 2, 3, 65_538].map((exponent) =>
    key(`a key with the exponent ${exponent}`, http(200, madeUp(2048, exponent)))
  ),
  key("an EC key", http(200, pem("rejected_ec_p256.pub.pem"))),
  key("a key that is garbage", http(200, pem("rejected_garbage.pem"))),
  key("a private key", http(200, pem("client_2048.pem"))),
  key("a PKCS#1 key",
    http(200, createPublicKey(serverPem).export({ type: "pkcs1", format: "pem" }) as string)),
  key("a certificate", http(200, serverPem.replaceAll("PUBLIC KEY", "CERTIFICATE"))),
  key("half a key", http(200, serverPem.slice(0, 400))),
  key("a key with a byte changed in its DER", http(200, serverPem.replace("MIIC", "MIID"))),
  key("HTML instead of a key",
    http(200, "<html><body>Welcome</body></html>", { "content-type": "text/html" })),
  key("JSON instead of a key", http(200, JSON.stringify({ public_key: serverPem }))),
  key("nothing instead of a key", http(200)),
  key("random bytes instead of a key", http(200, randomBytes(1000))),
  key("a key in 1 MiB of space", http(200, " ".repeat(MiB) + serverPem), "SecurityError response-too-large"),
  key("a key after 60 KiB of nonsense", http(200, "x".repeat(60_000) + serverPem), "answer"),
  key("a key of 32,768 bits", http(200, madeUp(32_768))),
  key("a key of 16,384 bits", http(200, madeUp(16_384))),
  key("another key on every fetch", inTurn(...[2048, 4096, 2048].map((bits) => http(200, madeUp(bits)))),
    "InvalidRequestError", { mostRequests: 4 }),
  key("another key on every fetch, with one in use",
    inTurn(honest, ...[2048, 4096, 2048].map((bits) => http(200, madeUp(bits)))), "answer", {
      warm: true,
      mostRequests: 3
    })
]

// ----------------------------------------------------------------------------
// Answers

const said = (ask: Ask, fields: object = {}): object => ({
  ...Mocks.completion("SENTINEL answer"),
  _metadata: { payload_id: ask.headers["x-payload-id"] },
  ...fields
})

/** Is honest once, and then says the same for ever. */
const replayed = (): Behaviour => {
  let first: Promise<Honest> | undefined
  return async (ask) => {
    const { body, headers, status } = await (first ??= ask.honest())
    return http(status, body, headers)(ask)
  }
}

const json = (text: (ask: Ask) => string) => sealed(text)

/** Answers with this, sealed. */
const plaintext = (name: string, text: string | Uint8Array, expect: Outcome = "APIError",
  more: Partial<Fault> = {}): Fault => completion(name, sealed(() => text), expect, more)

/** Answers as it should, but with these fields too, as text in place of JSON. */
const withField = (name: string, field: string, expect: Outcome = "answer",
  more: Partial<Fault> = {}): Fault =>
  completion(name, json((ask) => `${JSON.stringify(said(ask)).slice(0, -1)},${field}}`), expect, more)

const answers = (other: PublicKey): ReadonlyArray<Fault> => [
  ...Vectors.badResponses.map(({ body_base64, name, why }) =>
    completion("an envelope of `test/vectors/bad-responses.json`",
      http(200, Buffer.from(body_base64, "base64")),
      why.startsWith("opens, but") ? "APIError" : "SecurityError envelope", {
        variant: name
      })),
  ...Vectors.responses.map(({ body, client_key, name }) =>
    completion(
      "an answer to another request or client, which names no request (`test/vectors/responses.json`)",
      http(200, body),
      client_key === "client_4096.pem" ? "answer" : "SecurityError envelope",
      {
        variant: name
      }
    )
  ),
  completion("an answer in the clear", http(200, JSON.stringify(Mocks.completion("SENTINEL answer"))),
    "SecurityError envelope"),
  completion("an answer sealed to another client", sealed((ask) => JSON.stringify(said(ask)), other),
    "SecurityError envelope"),
  completion("the request, sent back", (ask) => http(200, ask.body)(ask), "SecurityError envelope"),
  completion("the last answer once more", replayed(), "SecurityError replay", { warm: true }),
  completion("an envelope in UTF-16",
    changed(({ body }, ask) => http(200, Buffer.from(Buffer.from(body).toString(), "utf16le"))(ask)),
    "SecurityError envelope"),
  completion("an envelope after a byte order mark",
    changed(({ body }, ask) => http(200, Buffer.concat([Buffer.from("\ufeff"), body]))(ask)),
    "SecurityError envelope"),
  completion("an envelope twice", changed(({ body }, ask) => http(200, Buffer.concat([body, body]))(ask)),
    "SecurityError envelope"),
  completion("an envelope in an envelope",
    changed(async ({ body }, ask) => http(200, await ask.seal(body))(ask)), "APIError"),
  completion("an envelope whose nesting is 100,000 deep", http(200, deep("{\"a\":", "}", 100_000, "1")),
    "SecurityError envelope"),
  completion("fields named twice in an envelope, with a wrong value last",
    changed(({ body }, ask) =>
      http(200, Buffer.from(body).toString().replace(/}$/, ",\"version\":\"2.0\"}"))(ask)
    ), "SecurityError envelope"),
  completion("an own __proto__ in an envelope",
    changed(({ body }, ask) =>
      http(200,
        Buffer.from(body).toString().replace(/}$/, ",\"__proto__\":{\"version\":\"2.0\",\"polluted\":1}}"))(
        ask
      )
    ), "answer"),
  ...["", "null", "7", "\"text\"", "[]", "{}", "{\"choices\":{}}", "{\"choices\":[7]}", "{\"choices\":[{}]}",
    "not JSON", "{\"choices\":["].map((text) =>
    plaintext("a plaintext that is no chat completion", text, "APIError", { variant: text })
  ),
  plaintext("a plaintext that is not UTF-8", Uint8Array.of(0xff, 0xfe, 0x7b, 0x7d)),
  plaintext("a plaintext whose `choices` are 100,000 deep", `{"choices":${deep("[", "]", 100_000)}}`),
  withField("a field 100,000 deep", `"x":${deep("[", "]", 100_000)}`),
  withField("an own __proto__",
    "\"__proto__\":{\"polluted\":1},\"constructor\":{\"prototype\":{\"polluted\":1}}"),
  withField("an own __proto__ in `_metadata`", "\"_metadata\":{\"__proto__\":{\"polluted\":1}}"),
  withField("a field named twice, with a wrong value last", "\"choices\":7", "APIError"),
  withField("a number beyond the range of JavaScript", "\"created\":1e999"),
  withField("100,000 choices",
    `"choices":[${
      Array.from({ length: 100_000 }, (_, index) => `{"index":${index},"message":{"role":"r"}}`).join()
    }]`, "answer", {
      options: { maxResponseBytes: 16 * MiB }
    }),
  completion("a plaintext of 50 MiB", sealed(() => new Uint8Array(50 * MiB)),
    "SecurityError response-too-large", {
      options: { maxResponseBytes: undefined, timeout: 60_000 },
      slow: true
    }),
  completion("a plaintext of 40 MiB, which the default limit takes",
    json((ask) => JSON.stringify(said(ask, { padding: "x".repeat(40 * MiB) }))), "answer", {
      options: { maxResponseBytes: undefined, timeout: 60_000 },
      slow: true
    })
]

/** All of them. `other` is somebody else's key. */
export const faults = (
  other: PublicKey
): ReadonlyArray<Fault> => [...wire(), ...statuses, ...echoes, ...redirects, ...waits, ...keys,
  ...answers(other)]
