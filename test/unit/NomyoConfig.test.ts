import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as NomyoConfig from "../../src/NomyoConfig.js"

const millis = ({ idleTimeout, keyRotationInterval, routerKeyTtl, timeout }: NomyoConfig.NomyoConfig) => ({
  timeout: Duration.toMillis(timeout),
  idleTimeout: Duration.toMillis(idleTimeout),
  keyRotationInterval: Duration.toMillis(keyRotationInterval),
  routerKeyTtl: Duration.toMillis(routerKeyTtl)
})

const read = (environment: { readonly [name: string]: string }) =>
  Effect.withConfigProvider(NomyoConfig.config, ConfigProvider.fromMap(new Map(Object.entries(environment))))

describe("NomyoConfig.make", () => {
  it.effect("fills in the documented defaults", () =>
    Effect.gen(function*() {
      const config = yield* NomyoConfig.make({})
      assert.deepInclude(config, {
        baseUrl: "https://api.nomyo.ai",
        allowHttp: false,
        apiKey: undefined,
        maxRetries: 2,
        throttle: false,
        keySize: 4096,
        routerKeyFingerprints: [],
        padding: true,
        maxResponseBytes: 64 * 1024 * 1024
      })
      assert.deepStrictEqual(millis(config), { timeout: 60_000, idleTimeout: 60_000,
        keyRotationInterval: 86_400_000, routerKeyTtl: 3_600_000 })
    }))

  it.effect("normalizes the router's URL and the fingerprints, and hides the API key", () =>
    Effect.gen(function*() {
      const config = yield* NomyoConfig.make({
        baseUrl: "https://router.test/nomyo//",
        apiKey: "sk-SENTINEL",
        routerKeyFingerprints: ["AB:".repeat(31) + "CD"]
      })
      assert.strictEqual(config.baseUrl, "https://router.test/nomyo")
      assert.deepStrictEqual(config.routerKeyFingerprints, ["ab".repeat(31) + "cd"])
      assert.strictEqual(Redacted.value(config.apiKey!), "sk-SENTINEL")
      assert.notInclude(`${JSON.stringify(config)} ${String(config.apiKey)}`, "SENTINEL")
    }))

  it.effect("takes a key rotation interval of 0 for never", () =>
    Effect.gen(function*() {
      const { keyRotationInterval } = yield* NomyoConfig.make({ keyRotationInterval: 0 })
      assert.isFalse(Duration.isFinite(keyRotationInterval))
    }))

  it.effect.each<[NomyoConfig.Options, string]>([
    [{ baseUrl: "router.test" }, "InvalidRequestError"],
    [{ baseUrl: "https://router.test/?key=1" }, "InvalidRequestError"],
    [{ baseUrl: "http://router.test" }, "plain-http"],
    [{ baseUrl: "https://user:secret@router.test" }, "url-credentials"],
    [{ trustedBaseUrls: ["not an origin"] }, "InvalidRequestError"],
    [{ timeout: 0 }, "InvalidRequestError"],
    [{ timeout: -1 }, "InvalidRequestError"],
    [{ timeout: Number.NaN }, "InvalidRequestError"],
    [{ maxRetries: -1 }, "InvalidRequestError"],
    [{ maxRetries: 1.5 }, "InvalidRequestError"],
    [{ keyRotationInterval: -1 }, "InvalidRequestError"],
    [{ routerKeyTtl: 0 }, "InvalidRequestError"],
    [{ routerKeyFingerprints: ["ab"] }, "InvalidRequestError"],
    [{ maxResponseBytes: 0 }, "InvalidRequestError"]
  ])("refuses %j with %s, and names the option", ([options, expected]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NomyoConfig.make(options))
      assert.strictEqual(error._tag === "SecurityError" ? error.reason : error._tag, expected)
      const name = Object.keys(options).join()
      assert.include(error.message, expected === "plain-http" ? "allowHttp" : name)
      assert.notInclude(error.message, "secret")
    }))
})

describe("NomyoConfig.config", () => {
  it.effect("reads every option from the environment", () =>
    Effect.gen(function*() {
      const options = yield* read({
        NOMYO_BASE_URL: "https://router.test",
        NOMYO_ALLOW_HTTP: "true",
        NOMYO_API_KEY: "sk-test",
        NOMYO_TRUSTED_BASE_URLS: "https://one.test,https://*.two.test",
        NOMYO_TIMEOUT: "1500",
        NOMYO_IDLE_TIMEOUT: "20 seconds",
        NOMYO_MAX_RETRIES: "5",
        NOMYO_THROTTLE: "yes",
        NOMYO_KEY_SIZE: "2048",
        NOMYO_KEY_ROTATION_INTERVAL: "2 hours",
        NOMYO_ROUTER_KEY_FINGERPRINTS: ["ab".repeat(32), "cd".repeat(32)].join(),
        NOMYO_ROUTER_KEY_TTL: "30 seconds",
        NOMYO_MAX_RESPONSE_BYTES: "1000"
      })
      const config = yield* NomyoConfig.make(options)
      assert.deepInclude(config, {
        baseUrl: "https://router.test",
        allowHttp: true,
        maxRetries: 5,
        throttle: true,
        keySize: 2048,
        routerKeyFingerprints: ["ab".repeat(32), "cd".repeat(32)],
        maxResponseBytes: 1000
      })
      assert.strictEqual(Redacted.value(config.apiKey!), "sk-test")
      assert.deepStrictEqual(options.trustedBaseUrls, ["https://one.test", "https://*.two.test"])
      assert.deepStrictEqual(millis(config), { timeout: 1500, idleTimeout: 20_000,
        keyRotationInterval: 7_200_000, routerKeyTtl: 30_000 })
      const { padding } = yield* read({ NOMYO_PADDING: "false" })
      assert.isFalse(padding)
    }))

  it.effect("leaves out what is not set, and reads false for no trusted router", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* NomyoConfig.make(yield* read({})), yield* NomyoConfig.make({}))
      assert.isFalse((yield* read({ NOMYO_TRUSTED_BASE_URLS: "false" })).trustedBaseUrls)
    }))

  it.effect.each([["NOMYO_TIMEOUT", "soon"], ["NOMYO_KEY_SIZE", "1024"], ["NOMYO_MAX_RETRIES", "1.5"], [
    "NOMYO_ALLOW_HTTP",
    "maybe"
  ]])(
    "fails for %s=%s",
    ([name, value]) =>
      Effect.map(Effect.flip(read({ [name!]: value! })), (error) => assert.include(String(error), name!))
  )
})
