import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import * as RouterConfiguration from "../../src/protocol2/RouterConfiguration.js"
import * as Transport from "../../src/Transport.js"

const list = KeyConfiguration.encodeList([
  KeyConfiguration.encode({ keyId: 1, kemId: 0x0020, publicKey: new Uint8Array(32).fill(9) })
])

/** A router's list under a `Cache-Control`, and how often it was fetched. */
const published = (cacheControl: string | undefined) => {
  const state = { fetches: 0 }
  const headers = new Map([["content-type", "application/ohttp-keys"], ["cache-control", cacheControl]])
  const open: Transport.Service["open"] = () =>
    Effect.sync(() => {
      state.fetches++
      let left: Uint8Array<ArrayBuffer> | undefined = list
      const pull = Effect.sync(() => {
        const next = left
        left = undefined
        return next
      })
      return { header: (name) => headers.get(name), pull }
    })
  return { state, layer: Layer.succeed(Transport.Transport, { open, send: () => Effect.never }) }
}

describe("the key configuration of a router", () => {
  it.scoped.each([
    ["max-age=600", {}, 480],
    ["no-transform, Max-Age=\"600\"", {}, 480],
    ["max-age=86400", {}, 2880],
    [undefined, {}, 2880],
    ["max-age=600", { routerKeyTtl: "100 seconds" }, 80],
    ["max-age=600", { routerKeyConfig: Buffer.from(list).toString("base64") }, undefined]
  ] as const)("under %s and %j is fetched again after four fifths of the shorter time", ([control, options, seconds]) => {
    const { layer, state } = published(control)
    return Effect.gen(function*() {
      const config = yield* NomyoConfig.make({ protocol: 2, ...options })
      const { get } = yield* RouterConfiguration.make(config, "https://router.test")
      const fetchesAt = (time: number) =>
        Effect.gen(function*() {
          yield* TestClock.setTime(time)
          yield* get
          yield* TestClock.adjust(0)
          return state.fetches
        })
      const first = yield* fetchesAt(0)
      assert.strictEqual(first, seconds === undefined ? 0 : 1)
      if (seconds === undefined) return
      assert.strictEqual(yield* fetchesAt(seconds * 1000 - 1), 1)
      assert.strictEqual(yield* fetchesAt(seconds * 1000), 2)
    }).pipe(Effect.provide(Layer.merge(layer, NodePrimitives.layer)))
  })
})
