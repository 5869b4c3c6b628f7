import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as NodeCrypto from "node:crypto"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import * as Mocks from "../support/mocks.js"
import { scan } from "../support/scan.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

/** Kibibytes that a process has locked. */
const locked = (pid: number) =>
  Number(/^VmLck:\s+(\d+)/m.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))![1])

const temporary = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-memory-"))
afterAll(() => Fs.rmSync(temporary, { recursive: true }))

describe("a look into a process's memory after dispose()", { timeout: 120_000 }, () => {
  const SENTINEL = "a sentinel that only this request's bytes hold"
  const subject = fileURLToPath(new URL("../support/secrets-process.mjs", import.meta.url))

  /**
   * The AES key of each envelope in a recording of what passed over the wire, with the private keys that open
   * them.
   */
  const aesKeys = (wire: Buffer, ...pems: ReadonlyArray<Buffer>): ReadonlyArray<Buffer> =>
    [...wire.toString("latin1").matchAll(/"encrypted_aes_key":"([^"]+)"/g)].flatMap(([, base64]) =>
      pems.flatMap((key) => {
        try {
          return [NodeCrypto.privateDecrypt({ key, oaepHash: "sha256" }, Buffer.from(base64!, "base64"))]
        } catch {
          return []
        }
      })
    )

  /** Runs ten requests in another process, and looks for their secrets there. */
  const look = (options: { readonly secureMemory: boolean; readonly password?: string }) =>
    Effect.gen(function*() {
      const tap = yield* Servers.wiretap(
        yield* Servers.router({ model: () => Effect.succeed(Mocks.completion("an answer")) })
      )
      const keyDir = Fs.mkdtempSync(Path.join(temporary, "keys-"))
      const pem = Fs.readFileSync(Vectors.path("keys/client_4096.pem"))
      const file = options.password === undefined ? "client_4096.pem" : "client_4096.encrypted-pkcs8.pem"
      Fs.copyFileSync(Vectors.path(`keys/${file}`), Path.join(keyDir, "private_key.pem"))
      Fs.chmodSync(Path.join(keyDir, "private_key.pem"), 0o600)
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [subject, tap.url, keyDir, options.password ?? "",
            String(options.secureMemory)], {
            stdio: ["pipe", "pipe", "inherit"]
          })
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      child.stdin.end(JSON.stringify({ model: "m", messages: [{ role: "user", content: SENTINEL }] }))
      const [method] = yield* Effect.promise(() => once(createInterface(child.stdout), "line"))
      const keys = aesKeys(tap.bytes(), pem, Fs.readFileSync(Vectors.path("keys/server_4096.pem")))
      assert.lengthOf(keys, 20)
      const der = NodeCrypto.createPrivateKey(pem).export({ type: "pkcs8", format: "der" })
      const found = scan(child.pid!, {
        // a freed block begins with the allocator's own pointers
        ...Object.fromEntries(keys.map((key, i) => [`AES key ${i}`, key.subarray(16)])),
        // behind the modulus, which is public: the private exponent and the primes
        "private exponent": der.subarray(700, 732),
        "a prime": der.subarray(1200, 1232),
        "a coefficient": der.subarray(-40, -8),
        "PEM": pem.subarray(1500, 1560),
        "sentinel": Buffer.from(SENTINEL)
      })
      const places = new Map<string, number>()
      for (const [name, times] of Object.entries(found)) {
        const kind = name.replace(/ \d+$/, "")
        places.set(kind, (places.get(kind) ?? 0) + times)
      }
      return { method, found: Object.fromEntries(places), locked: locked(child.pid!) }
    })

  const nowhere = { "AES key": 0, "private exponent": 0, "a prime": 0, "a coefficient": 0, "PEM": 0,
    "sentinel": 0 }

  it.scopedLive("finds neither AES keys nor the private key nor a prompt that was passed in as bytes", () =>
    Effect.gen(function*() {
      const { found, locked, method } = yield* look({ secureMemory: true })
      assert.deepStrictEqual({ found, locked, method }, { found: nowhere, locked: 0, method: "mlock" })
    }))

  it.scopedLive("finds none of an encrypted private key either", () =>
    Effect.gen(function*() {
      const { found } = yield* look({ secureMemory: true, password: Vectors.password })
      assert.deepStrictEqual(found, nowhere)
    }))

  it.scopedLive("finds them all where secureMemory is false", () =>
    Effect.gen(function*() {
      const { found } = yield* look({ secureMemory: false })
      // the file's text is decoded where it stands
      for (const [name, times] of Object.entries(found)) if (name !== "PEM") assert.isAbove(times, 0, name)
    }))
})
