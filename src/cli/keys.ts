import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { Crypto, type KeyPair } from "../Crypto.js"
import { KeyStore } from "../KeyStore.js"
import * as NomyoConfig from "../NomyoConfig.js"
import * as Variables from "../internal/variables.js"
import { InvalidRequestError, SecurityError } from "../NomyoError.js"
import * as NodeCrypto from "../platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../platform/node/NodeKeyStore.js"
import * as NodeSecureMemory from "../platform/node/NodeSecureMemory.js"
import type { SecureMemory } from "../SecureMemory.js"
import { type Problem, inspect, noPair } from "./inspectKeys.js"
import { readPassword } from "./password.js"
import { STATE_KEY_DIR, stateKeyDir } from "./stateDirectory.js"
import { out, withSpinner } from "./terminal.js"

const KEY_SIZE = 4096

/** The directory of the option, or else of the environment, which may want none. */
const directoryOf = Effect.fnUntraced(function*(dir: Option.Option<string>) {
  if (Option.isSome(dir)) return dir.value
  const { keyDir } = yield* Effect.orDie(NomyoConfig.fromEnvironment({ keyDir: Variables.platform.keyDir }))
  if (keyDir !== false) return keyDir ?? stateKeyDir()
  const message = "NOMYO_KEY_DIR keeps keys in memory, and nomyo keys needs a directory. Name one with --dir"
  return yield* Effect.fail(new InvalidRequestError({ message }))
})

const options = {
  dir: Options.text("dir").pipe(
    Options.withPseudoName("PATH"),
    Options.optional,
    Options.withDescription(
      `The key directory. Default: NOMYO_KEY_DIR, or ${STATE_KEY_DIR}, as for nomyo chat`
    )
  ),
  passwordStdin: Options.boolean("password-stdin").pipe(
    Options.withDescription("Read the private key's password from standard input, hidden on a terminal")
  )
}

/** Runs a command on the store of the directory that the options name. */
const withStore = <A, E>(
  given: { readonly dir: Option.Option<string>; readonly passwordStdin: boolean },
  use: (directory: {
    readonly dir: string
    readonly password: Redacted.Redacted | undefined
  }) => Effect.Effect<A, E, KeyStore | Crypto | SecureMemory>
) =>
  Effect.gen(function*() {
    const dir = yield* directoryOf(given.dir)
    const password = given.passwordStdin ? yield* readPassword : undefined
    const store = NodeKeyStore.layer({ keyDir: dir, keyRotationPassword: password })
    return yield* Effect.provide(use({ dir, password }), store)
  }).pipe(Effect.provide(Layer.provideMerge(NodeCrypto.layer, NodeSecureMemory.layer)))

const make = Effect.flatMap(Crypto, (crypto) => crypto.generateKeyPair(KEY_SIZE)).pipe(
  withSpinner("Making a key pair")
)

const refuse = (message: string) => new SecurityError({ reason: "client-key", message })

const mode = (path: string) =>
  Effect.promise(() =>
    Fs.stat(path).then((stat) => (stat.mode & 0o777).toString(8).padStart(4, "0"), () => "missing"))

const describe = Effect.fnUntraced(function*(dir: string, { createdAt, publicKey }: KeyPair) {
  const seconds = Math.floor(Math.max(0, (yield* Clock.currentTimeMillis) - createdAt) / 1000)
  const age = seconds === 0 ? "just now" : `${Duration.format(Duration.seconds(seconds))} ago`
  const rows = [
    ["algorithm", "RSA-OAEP-SHA256"],
    ["size", `${publicKey.modulusLength} bits`],
    ["fingerprint", `SHA-256 ${publicKey.fingerprint}`],
    ["made", `${new Date(createdAt).toISOString()} (${age})`],
    ["private_key.pem", `mode ${yield* mode(Path.join(dir, "private_key.pem"))}`],
    ["public_key.pem", `mode ${yield* mode(Path.join(dir, "public_key.pem"))}`]
  ]
  for (const [label, value] of rows) yield* out(`${label!.padEnd(16)} ${value}`)
})

const generate = Command.make("generate", options, (parsed) =>
  withStore(parsed, ({ dir }) =>
    Effect.gen(function*() {
      const store = yield* KeyStore
      const exists = refuse(
        `${dir} already holds a key pair. To replace it, run: nomyo keys rotate --dir ${dir}`
      )
      if (Option.isSome(yield* store.load)) return yield* Effect.fail(exists)
      const pair = yield* make
      if ((yield* store.save(pair, undefined)) !== pair) return yield* Effect.fail(exists)
      yield* describe(dir, pair)
    }))).pipe(Command.withDescription("Generate a key pair in a directory that has none"))

const existing = (dir: string) =>
  Effect.flatMap(KeyStore, ({ load }) => load).pipe(
    Effect.flatMap(Option.match({
      onNone: () => Effect.fail(refuse(
        `${dir} holds no key pair. To create one, run: nomyo keys generate --dir ${dir}`
      )),
      onSome: Effect.succeed
    }))
  )

const show = Command.make("show", options, (parsed) =>
  withStore(parsed, ({ dir }) => Effect.flatMap(existing(dir), (pair) => describe(dir, pair)))).pipe(
  Command.withDescription(
    "Show a key pair's size, age, fingerprint and file modes. The private key stays hidden"
  )
)

const rotate = Command.make("rotate", options, (parsed) =>
  withStore(parsed, ({ dir }) =>
    Effect.gen(function*() {
      const store = yield* KeyStore
      const old = yield* existing(dir)
      yield* describe(dir, yield* store.save(yield* make, old))
    }))).pipe(Command.withDescription(
  "Replace a key pair by a new one. A running router adopts it within a minute"
))

const isFailure = ({ status }: Problem) => status === "FAIL"

const check = Command.make("check", options, (parsed) =>
  withStore(parsed, ({ dir, password }) =>
    Effect.gen(function*() {
      const { createdAt, problems } = yield* inspect(dir, { password, isMounted: false })
      const all = createdAt === undefined && !problems.some(isFailure) ? [...problems, noPair(dir)] : problems
      for (const { todo, what } of all) yield* out(`${what}; ${todo}`)
      if (all.length > 0) {
        return yield* Effect.fail(refuse(
          `${all.length} problem${all.length === 1 ? "" : "s"} in ${dir}. Each line above says what to do`
        ))
      }
      yield* out(`${dir} is in order`)
    }))).pipe(Command.withDescription(
  "List the problems of a key directory. The exit code is 1 if there is one"
))

/** `nomyo keys`: the client's key pair in a directory. */
export const keys = Command.make("keys").pipe(
  Command.withDescription(
    "Generate, show, rotate and check a key pair: the client's, or a router's with --dir"
  ),
  Command.withSubcommands([generate, show, rotate, check])
)
