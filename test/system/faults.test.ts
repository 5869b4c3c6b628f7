import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { setTimeout as sleep } from "node:timers/promises"
import { inspect } from "node:util"
import { afterAll, afterEach, vi } from "vitest"
import * as NomyoClient from "../../src/NomyoClient.js"
import type { NomyoError } from "../../src/NomyoError.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as Transport from "../../src/Transport.js"
import { type Fault, faults, type Outcome, wire } from "../support/faults.js"
import * as Hostile from "../support/hostile.js"
import * as Report from "../support/report.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const PROMPT = "SENTINEL prompt"
const API_KEY = "sk-SENTINEL-0123456789"
/**
 * What may be printed nowhere: the prompt, the answer, the API key, and the private key, as text or in
 * base64.
 */
const secrets = new RegExp(
  ["SENTINEL", "PRIVATE KEY",
    ...[0, 1, 2].map((at) => Buffer.from(PROMPT).subarray(at, at + 12).toString("base64").replace(/=+$/, ""))]
    .join("|")
)

const request = { model: "m", messages: [{ role: "user", content: PROMPT }] } as const

const defaults = { allowHttp: true, apiKey: API_KEY, maxRetries: 0, timeout: 10_000,
  maxResponseBytes: 2 ** 20 } as const

const platform = Layer.provideMerge(Hostile.layerKeyStore("client_4096.pem"), Servers.platform)

const outcome = (result: Either.Either<unknown, NomyoError>): string =>
  Either.match(result, { onRight: () => "answer", onLeft: (error) =>
    "reason" in error ? `${error._tag} ${error.reason}` : error._tag })

const shown: Array<string> = []
const logger = Logger.make((options) => void shown.push(Logger.stringLogger.log(options)))
const rejections: Array<unknown> = []
const onRejection = (reason: unknown) => void rejections.push(reason)

/** What keeps a process alive: how many of each kind. */
const resources = () => {
  const counts: { [kind: string]: number } = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
let before: { readonly [kind: string]: number }
let isClean = false

/** What came of each fault. */
const seen: Array<{ readonly transport: string; readonly fault: Fault; readonly outcome: string }> = []

const said = (outcome: string): string => {
  const [tag, reason] = outcome.split(" ")
  return `${tag === "answer" ? "answers" : `\`${tag}\``}${reason === undefined ? "" : `, \`${reason}\``}`
}

/** One line for all faults of a name, with each of their outcomes. */
const table = (): string => {
  const lines = new Map<string, { readonly outcomes: Set<string>; tried: number }>()
  for (const { fault, outcome, transport } of seen) {
    const line = lines.get(fault.name) ?? { outcomes: new Set(), tried: 0 }
    const differs = expected("fetch", fault) !== fault.expect
    line.outcomes.add(`${said(outcome)}${differs ? ` on ${transport}` : ""}`)
    line.tried++
    lines.set(fault.name, line)
  }
  return [
    `${seen.length} faults, each with the outcome that was expected of it; nothing leaked, nothing hung.`,
    "",
    "| what the router does | what the call comes to | tried |",
    "|---|---|---|",
    ...[...lines].map(([name, { outcomes, tried }]) => `| ${name} | ${[...outcomes].join("; or ")} | ${tried} |`)
  ].join("\n")
}

beforeAll(() => {
  before = resources()
  process.on("unhandledRejection", onRejection)
})
afterEach(() => void vi.restoreAllMocks())
afterAll(() => {
  process.off("unhandledRejection", onRejection)
  const isComplete = seen.length === suites.reduce((total, [, , rows]) => total + rows.length, 0)
  if (isClean && isComplete) Report.write("faults", table())
})

const { publicKey } = await NodeKeyStore.loadKeyPair(Vectors.path("keys/client_2048.pem")).pipe(
  Effect.provide(Servers.platform),
  Effect.runPromise
)
const title = ({ name, variant }: Fault) => variant === undefined ? name : `${name} (${variant})`

/** What goes wrong before there is an answer is a matter of the transport; the rest is the same on all. */
const suites =
  ([["node:http", NodeTransport.layer, faults(publicKey)], ["fetch", Transport.layer, wire()]] as const).map(
    ([transport, layer, faults]) =>
      [transport, layer, faults.filter(({ slow }) => slow !== true || Report.isFull)] as const
  )
const expected = (transport: string, fault: Fault): Outcome =>
  transport === "fetch" ? fault.fetch ?? fault.expect : fault.expect

describe.each(suites)("a hostile router, and %s", (transport, layer, rows) => {
  it.scopedLive.each(rows.map((fault) => [title(fault), fault] as const))("%s", ([, fault]) => {
    shown.length = 0
    for (const method of ["log", "info", "warn", "error", "debug"] as const) {
      vi.spyOn(console, method).mockImplementation((...args) => void shown.push(`printed: ${inspect(args)}`))
    }
    for (const stream of [process.stdout, process.stderr]) {
      vi.spyOn(stream, "write").mockImplementation((text) => shown.push(`printed: ${String(text)}`) > 0)
    }
    // of the call alone: the client's own would bound the fetch of the key in the good request that follows
    const { timeout, ...options } = { ...defaults, ...fault.options }
    return Effect.gen(function*() {
      const router = yield* Hostile.make
      yield* Effect.gen(function*() {
        const client = yield* NomyoClient.NomyoClient
        const call = Effect.either(client.create(request, { timeout }))
        router.script = fault.script
        if (fault.warm === true) assert.strictEqual(outcome(yield* call), "answer")
        const [requests, written] = [router.requests(), router.written()]
        const result = yield* call
        assert.strictEqual(outcome(result), expected(transport, fault),
          Either.isLeft(result) ? result.left.message : "")

        if (fault.mostWritten !== undefined) assert.isBelow(router.written() - written, fault.mostWritten)
        if (fault.mostRequests !== undefined)
          assert.isAtMost(router.requests() - requests, fault.mostRequests)
        if (Either.isLeft(result)) {
          const { left: error } = result
          shown.push(JSON.stringify(error), String(error), inspect(error, { depth: null, showHidden: true }),
            String(error.stack))
        }
        assert.notMatch(shown.join("\n"), secrets)
        assert.notInclude(shown.join("\n"), "printed: ")
        assert.isUndefined(({} as { polluted?: unknown }).polluted)

        // the client lets go of a connection that misbehaves, and needs no other client for what comes next
        router.script = {}
        assert.strictEqual(outcome(yield* Effect.either(client.create(request))), "answer")
        if (outcome(result) !== "answer") yield* Effect.promise(() => router.left)
        seen.push({ transport, fault, outcome: outcome(result) })
      }).pipe(
        Effect.provide(
          Layer.provide(NomyoClient.layer({ ...options, baseUrl: router.url, timeout: defaults.timeout }),
            Layer.merge(platform, layer))
        )
      )
      assert.deepStrictEqual(rejections, [])
    }).pipe(
      Effect.provide(platform),
      Effect.provide(
        Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.All))
      )
    )
  })
})

describe("all of them together", () => {
  it("leave no connection and no timer behind", async () => {
    const kinds = ["TCPSocketWrap", "TCPServerWrap", "Timeout"]
    const more = () => kinds.filter((kind) => (resources()[kind] ?? 0) > (before[kind] ?? 0))
    // `fetch` keeps connections for a few seconds after their last use
    for (let tries = 0; tries < 200 && more().length > 0; tries++) await sleep(100)
    assert.deepStrictEqual(more(), [])
    isClean = true
  })
})
