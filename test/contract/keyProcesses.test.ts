import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { beforeAll } from "vitest"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as KeyFiles from "../support/keyFiles.js"
import * as Report from "../support/report.js"
import * as Servers from "../support/servers.js"

const { filled, fingerprint, load, privateKey, put, temporaryDirectory } = KeyFiles

describe("a key directory among processes", () => {
  const script = Path.join(temporaryDirectory(), "key-process.mjs")
  beforeAll(() =>
    build({
      entryPoints: [new URL("../support/key-process.ts", import.meta.url).pathname],
      outfile: script,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20"
    }).then(() => undefined)
  )

  it.scoped("ends with one pair when eight start at once on an empty directory",
    () =>
      Effect.gen(function*() {
        for (let round = 0; round < 3; round++) {
          const dir = Path.join(temporaryDirectory(), "keys")
          const outputs = yield* Effect.promise(() =>
            Promise.all(
              Array.from({ length: 8 }, () => promisify(execFile)(process.execPath, [script, "first", dir]))
            )
          )
          const fingerprints = new Set(outputs.map(({ stdout }) => stdout.trim()))
          assert.strictEqual(fingerprints.size, 1)
          assert.strictEqual(fingerprint(yield* load(dir)), [...fingerprints][0])
          assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["private_key.pem", "public_key.pem"])
        }
      }).pipe(Effect.provide(Servers.platform)), 240_000)

  it.live("holds a whole pair whenever its writer is killed", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const sources = yield* Effect.replicateEffect(Effect.map(filled(), ({ dir }) => privateKey(dir)), 2)
      const expected = new Set(
        (yield* Effect.forEach(sources, (source) => NodeKeyStore.loadKeyPair(source))).map(fingerprint)
      )
      let mismatches = 0
      yield* put(dir, yield* NodeKeyStore.loadKeyPair(sources[0]!))
      for (let kill = 0; kill < (Report.isFull ? 200 : 20); kill++) {
        const child = spawn(process.execPath, [script, "save", dir, ...sources])
        yield* Effect.promise(() => once(child.stdout, "data"))
        yield* Effect.sleep(Math.random() * 20)
        child.kill("SIGKILL")
        yield* Effect.promise(() => once(child, "exit"))
        const publicKey = Fs.existsSync(Path.join(dir, "public_key.pem"))
          ? Fs.readFileSync(Path.join(dir, "public_key.pem"), "utf8")
          : undefined
        const pair = yield* load(dir)
        assert.isTrue(expected.has(fingerprint(pair)))
        if (publicKey !== undefined && publicKey !== pair.publicKey.pem) mismatches++
      }
      assert.strictEqual(mismatches, 0)
    }).pipe(Effect.provide(Servers.platform)), 600_000)
})
