/** Key directories for tests. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Crypto, type KeyPair } from "../../src/Crypto.js"
import { KeyStore } from "../../src/KeyStore.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import type { SecureMemory } from "../../src/SecureMemory.js"

export const temporaryDirectory = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
export const privateKey = (dir: string): string => Path.join(dir, "private_key.pem")
export const publicKey = (dir: string): string => Path.join(dir, "public_key.pem")
export const names = (dir: string): ReadonlyArray<string> => Fs.readdirSync(dir).toSorted()

export const password = Redacted.make("correct horse battery")

type Options = Partial<NodeKeyStore.Options>

/** The store of a directory, used once. */
export const use = <A, E>(
  keyDir: string,
  f: (store: KeyStore["Type"]) => Effect.Effect<A, E, Crypto | SecureMemory>,
  options: Options = {}
) => Effect.flatMap(KeyStore, f).pipe(Effect.provide(NodeKeyStore.layer({ keyDir, ...options })))

export const load = (keyDir: string, options?: Options) =>
  use(keyDir, ({ load }) => Effect.flatten(load), options)

export const generate = Effect.flatMap(Crypto, (crypto) => crypto.generateKeyPair(2048))

/** Keeps a pair whatever is there: as one that replaces a pair that is newer, but not ahead of the clock. */
export const put = (keyDir: string, pair: KeyPair, options?: Options) =>
  use(keyDir, ({ save }) => save(pair, { ...pair, createdAt: Date.now() + 30_000 }), options)

/** A directory with a new pair. */
export const filled = (options?: Options) =>
  Effect.gen(function*() {
    const dir = temporaryDirectory()
    const pair = yield* generate
    yield* put(dir, pair, options)
    return { dir, pair }
  })

export const fingerprint = (pair: KeyPair): string => pair.publicKey.fingerprint

/** What a failure is about. */
export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(Effect.asVoid(effect)), (error) => {
    const { message, name, reason } = error as {
      readonly name?: string
      readonly reason?: string
      readonly message?: string
    }
    return { name, reason, message: message ?? "" }
  })

export const run = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

export const openssl = (...args: ReadonlyArray<string>): string => run("openssl", ...args)
