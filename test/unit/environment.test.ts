import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ConfigProvider4 from "effect4/ConfigProvider"
import * as Effect4 from "effect4/Effect"
import * as Redacted4 from "effect4/Redacted"
import { config as config4 } from "../../src/effect4/config.js"
import { httpWarning } from "../../src/internal/httpWarning.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Node from "../../src/platform/node/index.js"

const NAMES = [
  "NOMYO_BASE_URL",
  "NOMYO_ALLOW_HTTP",
  "NOMYO_API_KEY",
  "NOMYO_TRUSTED_BASE_URLS",
  "NOMYO_TIMEOUT",
  "NOMYO_IDLE_TIMEOUT",
  "NOMYO_MAX_RETRIES",
  "NOMYO_THROTTLE",
  "NOMYO_KEY_SIZE",
  "NOMYO_KEY_ROTATION_INTERVAL",
  "NOMYO_ROUTER_KEY_FINGERPRINTS",
  "NOMYO_PROTOCOL",
  "NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS",
  "NOMYO_ROUTER_KEY_CONFIG",
  "NOMYO_POST_QUANTUM",
  "NOMYO_PADDING",
  "NOMYO_ROUTER_KEY_TTL",
  "NOMYO_MAX_RESPONSE_BYTES",
  "NOMYO_KEY_DIR",
  "NOMYO_KEY_ROTATION_DIR",
  "NOMYO_KEY_DIR_READ_ONLY",
  "NOMYO_KEY_ROTATION_PASSWORD",
  "NOMYO_KEY_HISTORY",
  "NOMYO_SECURE_MEMORY"
]

const read = (environment: Record<string, string>) =>
  Effect.withConfigProvider(Node.config, ConfigProvider.fromMap(new Map(Object.entries(environment))))

const isDefined = ([, value]: readonly [string, unknown]): boolean => value !== undefined
const given = (options: object) => Object.fromEntries(Object.entries(options).filter(isDefined))

describe("the environment", () => {
  it.effect.each(["", " ", "\t\n"])("counts a variable of %j as not set", (blank) =>
    Effect.gen(function*() {
      const all = yield* read(Object.fromEntries(NAMES.map((name) => [name, blank])))
      assert.deepStrictEqual(given(all), {})
      assert.sameMembers(
        Object.keys(all).map((name) => `NOMYO_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`),
        NAMES
      )
    }))

  it.effect.each(["false", "memory", "FALSE", " Memory ", "none", "no", "off", "0"])("keeps keys in memory with NOMYO_KEY_DIR=%s",
    (value) =>
      Effect.map(read({ NOMYO_KEY_DIR: value }), (options) =>
        assert.deepStrictEqual(given(options), { keyDir: false })))

  it.effect("reads directories, and whether one is read-only", () =>
    Effect.map(
      read({ NOMYO_KEY_DIR: "./false", NOMYO_KEY_ROTATION_DIR: "later", NOMYO_KEY_DIR_READ_ONLY: "true" }),
      (options) =>
        assert.deepStrictEqual(given(options), { keyDir: "./false", keyRotationDir: "later",
          keyDirReadOnly: true })
    ))

  it.effect.each([
    ["NOMYO_MAX_RETRIES", "many", "a whole number, 0 or more"],
    ["NOMYO_KEY_ROTATION_INTERVAL", "soon",
      "a time: a number of milliseconds, or a number and a unit such as \"30 seconds\""],
    ["NOMYO_KEY_SIZE", "1024", "2048 or 4096"],
    ["NOMYO_ALLOW_HTTP", "perhaps", "true or false"],
    ["NOMYO_PADDING", "0 bytes", "true or false"]
  ])("refuses %s=%s by the variable's name, and says what it must be", ([name, value, expected]) =>
    Effect.gen(function*() {
      const provider = ConfigProvider.fromMap(new Map([[name!, value!]]))
      const error = yield* Effect.flip(Effect.withConfigProvider(Node.environment, provider))
      assert.strictEqual(error.message, `${name} in the environment is not valid: expected ${expected}`)
    }))
})

describe("the environment of Effect 4", () => {
  const millis = (time: string) =>
    (time.startsWith("-") ? -1 : 1) * Duration.toMillis(time.replace("-", "") as Duration.DurationInput)
  /** An option as the client takes it: times are numbers of milliseconds or texts. */
  const plain = ([name, value]: readonly [string, unknown]) => {
    if (Redacted.isRedacted(value)) return [name, Redacted.value(value)]
    if (Redacted4.isRedacted(value)) return [name, Redacted4.value(value)]
    const isTime = ["timeout", "idleTimeout", "keyRotationInterval", "routerKeyTtl"].includes(name)
    return [name, isTime && typeof value === "string" ? millis(value) : value]
  }
  const plainly = (options: object) => Object.fromEntries(Object.entries(options).map(plain))

  const outcome3 = (environment: Record<string, string>) =>
    Effect.match(read(environment), { onFailure: () => "refused", onSuccess: plainly })
  const outcome4 = (environment: Record<string, string>) =>
    Effect.promise(() =>
      Effect4.runPromise(
        Effect4.match(config4.parse(ConfigProvider4.fromEnv({ env: environment })),
          { onFailure: () => "refused", onSuccess: plainly })
      )
    )

  const texts = ["", " ", "text", "a, b", "https://*.test", "true", "false", "FALSE", "yes", "no", "on", "off",
    "0", "1", "2", "2048", "4096", "1000", "1.5", "-1", "NaN", "Infinity", "infinity", "30 seconds",
    "1.5 hours", "-1 seconds", "memory", " Memory ", "none", "prefer", "require"]

  it.effect.each(NAMES)("reads %s as that of Effect 3", (name) =>
    Effect.forEach(texts, (text) =>
      Effect.gen(function*() {
        const environment = { [name]: text }
        assert.deepStrictEqual(yield* outcome4(environment), yield* outcome3(environment), `"${text}"`)
      })))

  it.effect("reads all of its variables together", () =>
    Effect.gen(function*() {
      const environment = {
        NOMYO_BASE_URL: "https://router.test",
        NOMYO_TRUSTED_BASE_URLS: "https://a.test, https://b.test",
        NOMYO_PROTOCOL: "2",
        NOMYO_ROUTER_KEY_CONFIG: "AAAA",
        NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS: "ab,cd",
        NOMYO_POST_QUANTUM: "prefer",
        NOMYO_KEY_DIR: "none"
      }
      const options = yield* outcome4(environment)
      assert.deepStrictEqual(options, yield* outcome3(environment))
      assert.deepStrictEqual(given(options as object), {
        baseUrl: "https://router.test",
        trustedBaseUrls: ["https://a.test", "https://b.test"],
        protocol: 2,
        routerKeyConfig: "AAAA",
        routerKeyConfigFingerprints: ["ab", "cd"],
        postQuantum: "prefer",
        keyDir: false
      })
    }))
})

describe("times", () => {
  const message = (options: NomyoConfig.Options) =>
    Effect.map(Effect.flip(NomyoConfig.make(options)), (error) => error.message)

  it.effect.each<unknown>([-1, Number.NaN, -1n, "-1 hour", " -5 minutes", [-1, 0], [0, Number.NaN], "1",
    "soon"])(
    "of %s are refused rather than taken for never",
    (time) =>
      Effect.gen(function*() {
        for (const name of ["timeout", "idleTimeout", "keyRotationInterval", "routerKeyTtl"]) {
          assert.match(yield* message({ [name]: time }),
            new RegExp(`^${name} must be a time of more than 0`))
        }
      })
  )

  it.effect.each(["-1", "-1 seconds"])("of %s in the environment are refused too", (time) =>
    Effect.gen(function*() {
      const options = yield* read({ NOMYO_KEY_ROTATION_INTERVAL: time })
      assert.match(yield* message(options), /^keyRotationInterval must be a time of more than 0/)
    }))

  it.effect.each<unknown>([1000, 1_000_000_000n, "1 second", [1, 0], Duration.seconds(1)])("are read: %s",
    (keyRotationInterval) =>
      Effect.map(NomyoConfig.make({ keyRotationInterval } as NomyoConfig.Options), (config) =>
        assert.strictEqual(Duration.toMillis(config.keyRotationInterval), 1000)))
})

describe("checkBaseUrl", () => {
  it.effect.each([
    ["https://router.test", "https://router.test"],
    ["https://router.test/", "https://router.test"],
    ["https://router.test/v1", "https://router.test"],
    ["https://router.test/v1/", "https://router.test"],
    ["https://router.test//v1//", "https://router.test"],
    ["https://router.test:8443/api/v1", "https://router.test:8443/api"],
    ["https://router.test/apiv1", "https://router.test/apiv1"],
    ["https://router.test/v1/x", "https://router.test/v1/x"],
    ["https://v1", "https://v1"]
  ])("makes of %s the router at %s",
    ([url, expected]) =>
      Effect.map(NomyoConfig.checkBaseUrl(url!, { allowHttp: false }), (base) =>
        assert.strictEqual(base, expected)))
})

describe("the warning of plain HTTP", () => {
  it("is not given for HTTPS", () => assert.isUndefined(httpWarning("https://router.test", false)))

  it.each(["localhost:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:80", "a.localhost"])("is short for %s",
    (host) =>
      assert.strictEqual(
        httpWarning(`http://${host}`, false),
        `nomyo-js talks plain HTTP to http://${host}, on this machine: for local development only`
      ))

  it.each(["router.test", "10.0.0.1", "localhost.evil.test", "127.0.0.1.evil.test", "[fe80::1]"])(
    "says for %s who reads what",
    (host) => {
      const unpinned = httpWarning(`http://${host}`, false)
      assert.include(unpinned,
        "anyone on the path can read and change everything: prompts, answers, the API key")
      assert.include(unpinned, "routerKeyFingerprints")
      const pinned = httpWarning(`http://${host}`, true)
      assert.include(pinned, "anyone on the path can read the API key and metadata")
      assert.include(pinned, "can read answers by replacing the client's public key")
    }
  )
})
