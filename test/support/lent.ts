import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Body } from "../../src/Body.js"
import * as CryptoModule from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import type * as KeyRing from "../../src/KeyRing.js"
import type { Plaintext } from "../../src/Plaintext.js"

type Use<A> = (value: A) => Effect.Effect<never>

/**
 * What is lent, until the scope closes: for tests that go on with it, and look at it when it has been given
 * back.
 */
const kept = <A, E, R>(lend: (use: Use<A>) => Effect.Effect<never, E, R>) =>
  Effect.gen(function*() {
    const lent = yield* Deferred.make<A, E>()
    yield* Effect.forkScoped(Effect.catchAllCause(
      lend((value) => Effect.zipRight(Deferred.succeed(lent, value), Effect.never)),
      (cause) => Deferred.failCause(lent, cause)
    ))
    return yield* Deferred.await(lent)
  })

/** `Crypto` with what it lends kept. */
export const crypto = Effect.map(CryptoModule.Crypto, (service) => ({
  ...service,
  seal: (key: CryptoModule.PublicKey, plaintext: Plaintext) =>
    kept((use: Use<CryptoModule.Sealed>) => service.seal(key, plaintext, use)),
  open: (key: CryptoModule.PrivateKey, sealed: CryptoModule.Sealed) =>
    kept((use: Use<Uint8Array<ArrayBuffer>>) => service.open(key, sealed, use))
}))

export const open = (key: CryptoModule.PrivateKey, envelope: Uint8Array) =>
  kept((use: Use<Envelope.Opened>) => Envelope.open(key, envelope, use))

export const sealWith = (key: CryptoModule.PublicKey, plaintext: Plaintext) =>
  kept((use: Use<Body>) => Envelope.sealWith(key, plaintext, use))

export const lease = (ring: KeyRing.Service) => kept((use: Use<CryptoModule.KeyPair>) => ring.lease(use))
