import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { KeyPair, Service as Crypto } from "../../Crypto.js"
import type { Service as KeyStore } from "../../KeyStore.js"
import type { SecurityError } from "../../NomyoError.js"

export interface StoreDependencies {
  readonly crypto: Crypto
  readonly store: KeyStore
  readonly keySize: number
}

/** The pair that the store keeps, and whether this process has generated it. */
interface StoredPair {
  readonly pair: KeyPair
  readonly isGenerated: boolean
}

/**
 * Generates a pair and stores it in place of `replacing`, or as the first one. If another process has stored
 * a pair first, it returns that pair and destroys its own.
 */
export const generate = (
  { crypto, keySize, store }: StoreDependencies,
  replacing: KeyPair | undefined
): Effect.Effect<StoredPair, SecurityError> =>
  Effect.flatMap(crypto.generateKeyPair(keySize), (generated) => {
    const destroy = crypto.destroy(generated.privateKey)
    return store.save(generated, replacing).pipe(
      Effect.onError(() => destroy),
      Effect.tap((pair) => pair === generated ? Effect.void : destroy),
      Effect.map((pair) => ({ pair, isGenerated: pair === generated }))
    )
  })

/** Loads the stored pair; generates the first one if there is none. */
export const loadOrGenerate = (dependencies: StoreDependencies): Effect.Effect<StoredPair, SecurityError> =>
  Effect.flatMap(dependencies.store.load, Option.match({
    onNone: () => generate(dependencies, undefined),
    onSome: (pair) => Effect.succeed({ pair, isGenerated: false })
  }))
