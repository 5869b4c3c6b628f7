import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import * as KeyStore from "../../src/KeyStore.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import { temporaryDirectory } from "../support/keyFiles.js"
import { cases } from "../support/keyStoreContract.js"
import * as Servers from "../support/servers.js"

// IndexedDB keeps it too: test/system/browserKeys.test.ts
describe("the key store in memory", () => {
  for (const { name, run } of cases.filter(({ persistent }) => !persistent)) {
    it.live(name, () => run.pipe(Effect.provide(KeyStore.layerMemory), Effect.provide(Servers.platform)))
  }
})

describe("the key store in a directory", () => {
  for (const { name, run } of cases) {
    it.live(name, () =>
      run.pipe(
        Effect.provide(NodeKeyStore.layer({ keyDir: `${temporaryDirectory()}/a/b` })),
        Effect.provide(Servers.platform)
      ))
  }
})
