/** Runs in a page: the contract on its IndexedDB, case by case. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as WebCrypto from "../../src/WebCrypto.js"
import { KeyStore } from "../../src/KeyStore.js"
import * as BrowserKeyStore from "../../src/platform/browser/BrowserKeyStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { cases } from "./keyStoreContract.js"

const services = Layer.merge(BrowserKeyStore.layerIndexedDb,
  Layer.provide(WebCrypto.layer, SecureMemory.layer))

/** What each case failed with, by its name. */
export const results = (): Promise<{ readonly [name: string]: string }> =>
  Effect.runPromise(Effect.provide(
    Effect.map(
      Effect.forEach(cases, ({ name, run }) =>
        Effect.flatMap(KeyStore, ({ remove }) => remove).pipe(
          Effect.zipRight(run),
          Effect.match({ onFailure: String, onSuccess: () => "ok" }),
          Effect.map((result) => [name, result] as const)
        )),
      (entries) => Object.fromEntries(entries)
    ),
    services
  ))
