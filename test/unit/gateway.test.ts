import * as HttpApp from "@effect/platform/HttpApp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { proxyWarning } from "../../src/cli/proxyVariables.js"
import * as Gateway from "../../src/gateway/Gateway.js"
import { pathForLog } from "../../src/gateway/requestLog.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NomyoError from "../../src/NomyoError.js"

const SECRET = "My SENTINEL prompt"

const chat = (fields: object = {}): Request =>
  new Request("http://localhost/v1/chat/completions", {
    method: "POST",
    headers: { host: "localhost", "content-type": "application/json" },
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: SECRET }], ...fields })
  })

/** A gateway in front of a client that answers from a function, and what it logs. */
const start = Effect.fnUntraced(function*(
  answer: Parameters<typeof NomyoClient.layerTest>[0],
  options: Gateway.Options = {}
) {
  const log: Array<string> = []
  const logger = Logger.make(({ annotations, message }) => {
    log.push(JSON.stringify([message, Object.fromEntries(HashMap.toEntries(annotations))]))
  })
  const app = yield* Effect.provide(Gateway.make(options), NomyoClient.layerTest(answer))
  const runtime = yield* Effect.provide(Effect.runtime<never>(), Logger.replace(Logger.defaultLogger, logger))
  const handle = HttpApp.toWebHandlerRuntime(runtime)(app)
  const send = (request: Request) =>
    Effect.promise(async () => {
      const response = await handle(request)
      return { status: response.status, text: await response.text() }
    })
  return { log, send }
})

describe("Gateway.make", () => {
  it.effect("answers whole and as a stream", () =>
    Effect.gen(function*() {
      const { send } = yield* start(() => "Hi")
      const whole = yield* send(chat())
      assert.deepStrictEqual([whole.status, JSON.parse(whole.text).choices[0].message.content], [200, "Hi"])
      const { text } = yield* send(chat({ stream: true }))
      assert.match(text, /^data: \{.*"Hi".*data: \[DONE\]\n\n$/s)
    }))

  it.effect("gives requests without a tier its own", () =>
    Effect.gen(function*() {
      const tiers: Array<unknown> = []
      const { send } = yield* start((request) => {
        tiers.push(request.security_tier)
        return "Hi"
      }, { securityTier: "high" })
      yield* send(chat())
      yield* send(chat({ security_tier: "maximum" }))
      assert.deepStrictEqual(tiers, ["high", "maximum"])
    }))

  it.effect("tells nobody what a defect says", () =>
    Effect.gen(function*() {
      const { log, send } = yield* start(() => Effect.die(new Error(SECRET)))
      const answers = [yield* send(chat()), yield* send(chat({ stream: true }))]
      assert.deepStrictEqual(answers.map(({ status }) => status), [500, 500])
      assert.notInclude(JSON.stringify([answers, log]), SECRET)
      assert.include(log.join("\n"), "\"status\":500")
    }))

  it.live("repeats what the rate limit refused, and nothing else", () =>
    Effect.gen(function*() {
      let calls = 0
      const limited = yield* start(() =>
        ++calls === 1
          ? Effect.fail(new NomyoError.RateLimitError({ message: "Too many", retryAfter: 1 }))
          : "Hi"
      )
      assert.deepStrictEqual([(yield* limited.send(chat())).status, calls], [200, 2])
      let failures = 0
      const failing = yield* start(() => {
        failures++
        return Effect.fail(new NomyoError.ServerError({ message: "Broken" }))
      })
      assert.deepStrictEqual([(yield* failing.send(chat())).status, failures], [500, 1])
    }))

  it.effect("passes on why there is no list of models, in the words of its program", () =>
    Effect.gen(function*() {
      const refusal = new NomyoError.AuthenticationError({ message: "The router answered 401. Check apiKey" })
      const { send } = yield* start(() => Effect.fail(refusal), {
        models: () => Effect.fail(refusal),
        errorMessage: (message) => message.replace("apiKey", "--api-key-file")
      })
      const get = (path: string) => new Request(`http://localhost${path}`, { headers: { host: "localhost" } })
      for (const request of [get("/v1/models"), get("/v1/models/m"), chat(), chat({ stream: true })]) {
        const { status, text } = yield* send(request)
        assert.deepStrictEqual([status, JSON.parse(text).error.message],
          [401, "The router answered 401. Check --api-key-file"])
      }
    }))

  it.effect("refuses options that are not valid", () =>
    Effect.gen(function*() {
      const make = (options: Gateway.Options) =>
        Effect.flip(Effect.provide(Gateway.make(options), NomyoClient.layerTest(() => "Hi")))
      const both = yield* make({ apiKey: "header", tokens: [Redacted.make("secret-token")] })
      assert.strictEqual(both._tag, "InvalidRequestError")
      assert.notInclude(both.message, "secret-token")
      assert.strictEqual((yield* make({ keepAlive: 0 }))._tag, "InvalidRequestError")
      assert.strictEqual((yield* make({ timeout: -1 }))._tag, "InvalidRequestError")
      assert.match((yield* make({ idleTimeout: 0 })).message, /^idleTimeout must be a time of more than 0/)
    }))
})

describe("pathForLog", () => {
  it("shows known paths and nothing that a caller made up", () => {
    const shown = {
      "/": "/",
      "/v1/chat/completions?key=secret": "/v1/chat/completions",
      "/chat/completions/": "/chat/completions/",
      "/v1/models/secret/model": "/v1/models/{id}",
      "/openai/deployments/secret/chat/completions?api-version=1":
        "/openai/deployments/{model}/chat/completions",
      "/openai/deployments/secret/model/chat/completions": "/openai/deployments/{model}/chat/completions",
      "/v1/embeddings": "/v1/embeddings",
      "/api/secret": "/api/...",
      "/v1/secret": "/v1/...",
      "/secret": "/...",
      "http://secret/v1/models": "/..."
    }
    assert.deepStrictEqual(Object.fromEntries(Object.keys(shown).map((url) => [url, pathForLog(url)])), shown)
  })
})

describe("proxyWarning", () => {
  it("names the variable, never its value, unless loopback is exempt", () => {
    const warned = proxyWarning({ HTTP_PROXY: "http://user:secret@proxy", NO_PROXY: "localhost" })
    assert.match(warned ?? "", /^HTTP_PROXY is set/)
    assert.notInclude(warned, "secret")
    for (const NO_PROXY of ["*", "127.0.0.1,localhost", "localhost , 127.0.0.1, example.com"]) {
      assert.isUndefined(proxyWarning({ http_proxy: "http://proxy", NO_PROXY }))
    }
    assert.isUndefined(proxyWarning({ http_proxy: "" }))
    assert.isUndefined(proxyWarning({ HTTPS_PROXY: "http://proxy" }))
  })
})
