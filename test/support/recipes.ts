/** A client in front of the real router, for tests of what people use it with. */
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, beforeEach, expect, vi } from "vitest"
import type { SecurityTier } from "../../src/ChatCompletion.js"
import { SecureChatCompletion } from "../../src/index.js"
import * as Model from "../../src/router/Model.js"
import { MARKER } from "./marker.js"
import { disguises } from "./disguises.js"
import * as Servers from "./servers.js"

export { MARKER }
/** What the echo model says, and what is in every answer. */
const MARKERS = [MARKER, "You said:", "chat.completion", "assistant", "get_weather"]

/** Fields that direct the client or shape its answer: the model is not to see them. */
const HIDDEN = ["stream", "stream_options", "base_url", "api_key", "security_tier"]

export interface Recipes {
  readonly nomyo: SecureChatCompletion
  /** Requests as the router has opened them, since the test began. */
  readonly seen: ReadonlyArray<Model.Opened["payload"]>
  readonly tiers: ReadonlyArray<SecurityTier | undefined>
}

/**
 * To be called once in a file. When its tests are over, no byte between client and router has shown a marker,
 * and no request has had a field that is not the model's. Nothing but loopback is talked to.
 */
export const recipes = (): Recipes => {
  const seen: Array<Model.Opened> = []
  const all: Array<Model.Opened> = []
  const strays: Array<string> = []
  let tap: { readonly url: string; readonly bytes: () => Buffer }
  let close: () => Promise<void>
  let nomyo: SecureChatCompletion
  const { fetch } = globalThis

  beforeAll(async () => {
    vi.spyOn(console, "warn").mockImplementation(() => undefined)
    globalThis.fetch = (input) => {
      strays.push(new URL(input instanceof Request ? input.url : input).host)
      return Promise.reject(new TypeError("fetch failed"))
    }
    const echo = Effect.runSync(Model.makeEcho)
    const model: Model.Model = (opened) => {
      seen.push(opened)
      all.push(opened)
      return opened.payload.model === "slow" ? Effect.never : echo(opened)
    }
    const scoped = await Servers.scoped(Effect.flatMap(Servers.router({ model }), Servers.wiretap))
    tap = scoped.value
    close = scoped.close
    nomyo = new SecureChatCompletion({ baseUrl: tap.url, allowHttp: true, keyDir: false, keySize: 2048 })
    await nomyo.ready()
  })
  beforeEach(() => void seen.splice(0))
  afterAll(async () => {
    nomyo.dispose()
    await close()
    globalThis.fetch = fetch
    const bytes = tap.bytes().toString("latin1")
    expect(bytes).toContain("hybrid-aes256-rsa4096")
    expect(MARKERS.filter((marker) => disguises(marker).some((text) => bytes.includes(text)))).toEqual([])
    expect(all.flatMap(({ payload }) => HIDDEN.filter((name) => name in payload))).toEqual([])
    expect(strays).toEqual([])
  })

  return {
    get nomyo() {
      return nomyo
    },
    get seen() {
      return seen.map(({ payload }) => payload)
    },
    get tiers() {
      return seen.map(({ securityTier }) => securityTier)
    }
  }
}
