import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/Crypto.js"
import * as KeyRing from "../../src/KeyRing.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Mocks from "./mocks.js"

/** `TestCrypto.layer`, with a list of what was generated and destroyed, and a wait before each pair. */
const crypto = (options: { readonly delay?: Duration.DurationInput } = {}) => {
  const state = { generated: 0, destroyed: [] as Array<Crypto.PrivateKey>, failing: false,
    broken: undefined as Effect.Effect<never> | undefined }
  const layer = Layer.map(TestCrypto.layer, (context) => {
    const test = Context.get(context, Crypto.Crypto)
    return Context.make(Crypto.Crypto, {
      ...test,
      generateKeyPair: (bits) =>
        Effect.suspend(() => {
          state.generated++
          if (state.broken !== undefined) return state.broken
          return state.failing
            ? Effect.fail(new SecurityError({ reason: "client-key", message: "no entropy" }))
            : Effect.delay(test.generateKeyPair(bits), options.delay ?? 0)
        }),
      destroy: (key) => Effect.zipRight(Effect.sync(() => state.destroyed.push(key)), test.destroy(key))
    })
  })
  return { state, layer }
}

export const day = { keySize: 2048, keyRotationInterval: Duration.days(1) } as const
export const never = { keySize: 2048, keyRotationInterval: Duration.infinity } as const

export const setup = (config: Parameters<typeof KeyRing.make>[0] = never,
  options: Parameters<typeof crypto>[0] = {}) => {
  const keys = crypto(options)
  const store = Mocks.keyStore()
  const layer = Layer.provideMerge(store.layer, keys.layer)
  return { keys: keys.state, store: store.state, ring: KeyRing.make(config), layer }
}

export const fingerprint = (ring: KeyRing.Service) =>
  ring.lease(({ publicKey }) => Effect.succeed(publicKey.fingerprint))
