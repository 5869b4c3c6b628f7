import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createPrivateKey, randomBytes, randomInt } from "node:crypto"
import * as Fs from "node:fs"
import { afterAll } from "vitest"
import * as Crypto from "../../src/Crypto.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as WebCrypto from "../../src/WebCrypto.js"
import * as Report from "../support/report.js"
import * as Vectors from "../support/vectors.js"

const rows: Array<string> = []
afterAll(() =>
  Report.write("timing",
    ["| layer | bad key | bad tag | difference | t |", "|---|---|---|---|---|", ...rows].join("\n"))
)

const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
/** The variance of the mean. */
const spread = (values: ReadonlyArray<number>): number => {
  const middle = mean(values)
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1) / values.length
}
/** Leaves out the slowest twentieth, which the machine's other work is to blame for. */
const trimmed = (values: ReadonlyArray<number>): ReadonlyArray<number> =>
  values.toSorted((a, b) => a - b).slice(0, Math.ceil(values.length * 0.95))

const microseconds = (milliseconds: number): string => `${(milliseconds * 1000).toFixed(1)} µs`

describe.each([["WebCrypto", WebCrypto.layer], ["node:crypto", NodeCrypto.layer]] as const)("opening with %s",
  (name, layer) => {
    it.effect("fails in the same way for a bad key and a bad tag; how long it takes is reported",
      () =>
        Effect.gen(function*() {
          const crypto = yield* Crypto.Crypto
          const pkcs8 = createPrivateKey(Fs.readFileSync(Vectors.path("keys/client_2048.pem"))).export({
            type: "pkcs8",
            format: "der"
          })
          const { privateKey, publicKey } = yield* crypto.importKeyPair(Uint8Array.from(pkcs8), 0)
          const openings = Report.isFull ? 2000 : 100
          const times = { key: [] as Array<number>, tag: [] as Array<number> }
          for (let i = 0; i < openings; i++) {
            // what is sealed may be made as it is taken, while it is lent
            const { tag, ...sealed } = yield* crypto.seal(publicKey, randomBytes(1000), (sealed) =>
              Effect.sync(() => ({
                ...sealed,
                ciphertext: Array.from(sealed.ciphertext, (piece) => Uint8Array.from(piece)),
                tag: Uint8Array.from(sealed.tag())
              })))
            const wrong = randomInt(2) === 0 ? "key" : "tag"
            const damaged = wrong === "key" ? sealed.encryptedKey : tag
            damaged[randomInt(damaged.length)]! ^= 1 + randomInt(255)
            const from = performance.now()
            const result = yield* Effect.either(crypto.open(privateKey, { ...sealed, tag: () =>
              tag }, () => Effect.void))
            times[wrong].push(performance.now() - from)
            assert.deepInclude(result, { _tag: "Left" })
            if (result._tag === "Left")
              assert.deepInclude(result.left, { _tag: "SecurityError", reason: "envelope",
                message: "The answer could not be opened: it is damaged, altered, or sealed to another " +
                  "key. Send the request again" })
          }
          const [badKey, badTag] = [trimmed(times.key), trimmed(times.tag)]
          // Welch's: the difference of two means, in units of its own uncertainty
          const t = (mean(badKey) - mean(badTag)) / Math.sqrt(spread(badKey) + spread(badTag))
          rows.push(
            `| ${name} | ${microseconds(mean(badKey))} (${times.key.length}) | ${
              microseconds(mean(badTag))
            } (${times.tag.length}) | ${microseconds(mean(badKey) - mean(badTag))} | ${t.toFixed(1)} |`
          )
        }).pipe(Effect.provide(Layer.provide(layer, SecureMemory.layer))), 120_000)
  })
