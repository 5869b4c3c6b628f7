import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { toBytes } from "../../src/Body.js"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import type { SecurityError } from "../../src/NomyoError.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"

/** A chat completion with this text. */
export const completion = (content: string): object => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 0,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }]
})

const pem = (name: string) =>
  new TextEncoder().encode(
    `-----BEGIN PUBLIC KEY-----\n${Buffer.from(name).toString("base64")}\n-----END PUBLIC KEY-----\n`
  )

/** What the scripted router does with the nth POST (from 1): an answer, or an error. */
export type Script = (n: number) => Effect.Effect<object, Transport.TransportError>

/**
 * A `Transport` with a router behind it that is a script: it publishes a key, counts what it is asked, and
 * seals what the script says to the client's key. It can only be read with `TestCrypto.layer`.
 */
export const scripted = (script: Script) => {
  const state = {
    sent: [] as Array<Omit<Transport.Request, "body"> & { readonly body: Uint8Array }>,
    keyFetches: 0,
    routerKey: "router key 1",
    keyFailure: undefined as Transport.TransportError | undefined
  }
  const layer = Layer.effect(
    Transport.Transport,
    Effect.map(Crypto.Crypto, (crypto): Transport.Service => ({
      open: () => Effect.never,
      send: (request) =>
        Effect.gen(function*() {
          if (request.method === "GET") {
            state.keyFetches++
            if (state.keyFailure !== undefined) return yield* Effect.fail(state.keyFailure)
            return pem(state.routerKey)
          }
          state.sent.push({ ...request, body: toBytes(request.body!) })
          const answer = yield* script(state.sent.length)
          const clientKey = yield* crypto.importPublicKey(
            new TextEncoder().encode(decodeURIComponent(request.headers["X-Public-Key"]!))
          )
          return yield* Envelope.seal(clientKey, new TextEncoder().encode(JSON.stringify(answer)), {
            processedAt: 1
          }).pipe(
            Effect.provideService(Crypto.Crypto, crypto)
          )
        })
    }))
  )
  return { state, layer }
}

/** A `KeyStore` in memory that survives its clients, counts its uses, and can be told to fail. */
export const keyStore = () => {
  const state = {
    loads: 0,
    saves: [] as Array<Crypto.KeyPair>,
    saved: Option.none<{ readonly pkcs8: Uint8Array<ArrayBuffer>; readonly createdAt: number }>(),
    failure: undefined as SecurityError | undefined,
    /** Loading waits for this. */
    gate: undefined as Deferred.Deferred<void> | undefined
  }
  const save = (crypto: Crypto.Service, pair: Crypto.KeyPair, replacing: Crypto.KeyPair | undefined) =>
    Effect.gen(function*() {
      if (state.failure !== undefined) return yield* Effect.fail(state.failure)
      if (Option.isSome(state.saved) && state.saved.value.createdAt > (replacing?.createdAt ?? -1)) {
        return yield* crypto.importKeyPair(state.saved.value.pkcs8, state.saved.value.createdAt)
      }
      const pkcs8 = Uint8Array.from(yield* crypto.exportPrivateKey(pair.privateKey))
      state.saves.push(pair)
      state.saved = Option.some({ pkcs8, createdAt: pair.createdAt })
      return pair
    }).pipe(Effect.scoped)
  const layer = Layer.effect(
    KeyStore.KeyStore,
    Effect.map(Crypto.Crypto, (crypto): KeyStore.Service => ({
      load: Effect.gen(function*() {
        state.loads++
        if (state.gate !== undefined) yield* Deferred.await(state.gate)
        if (state.failure !== undefined) return yield* Effect.fail(state.failure)
        return yield* Option.match(state.saved, {
          onNone: () => Effect.succeedNone,
          onSome: ({ createdAt, pkcs8 }) => Effect.asSome(crypto.importKeyPair(pkcs8, createdAt))
        })
      }),
      save: (pair, replacing) => save(crypto, pair, replacing),
      exclusively: identity,
      remove: Effect.sync(() => {
        state.saved = Option.none()
      })
    }))
  )
  return { state, layer }
}

/** The client over mock layers of all its services: no network, no disk, no real cryptography. */
export const client = (
  transport: Layer.Layer<Transport.Transport, never, Crypto.Crypto>,
  options: NomyoConfig.Options = {},
  store: Layer.Layer<KeyStore.KeyStore, never, Crypto.Crypto> = KeyStore.layerMemory
) =>
  NomyoClient.layer({ baseUrl: "https://router.test", ...options }).pipe(
    Layer.provide(Layer.merge(transport, store)),
    Layer.provideMerge(Layer.merge(TestCrypto.layer, SecureMemory.layer))
  )
