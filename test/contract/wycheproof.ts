/**
 * Runs Wycheproof's vectors (https://github.com/C2SP/wycheproof) through the format and both `Crypto` layers:
 * `npm run test:wycheproof -- DIR`.
 *
 * What the format can carry must be opened exactly when the vector is valid. It has 256-bit keys, 96-bit
 * nonces, 128-bit tags, SHA-256, no additional data and no label: what needs anything else must be refused,
 * valid or not.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { createCipheriv, generateKeyPairSync, publicEncrypt } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as WebCrypto from "../../src/WebCrypto.js"

interface Case {
  readonly tcId: number
  readonly result: "valid" | "invalid" | "acceptable"
  readonly msg: string
  readonly ct: string
}
interface GcmCase extends Case {
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly tag: string
}
interface OaepCase extends Case {
  readonly label: string
}
interface File<Group> {
  readonly numberOfTests: number
  readonly testGroups: ReadonlyArray<Group>
}
type Gcm = File<
  {
    readonly ivSize: number
    readonly keySize: number
    readonly tagSize: number
    readonly tests: ReadonlyArray<GcmCase>
  }
>
type Oaep = File<{
  readonly sha: string
  readonly mgf: string
  readonly mgfSha: string
  readonly privateKeyPkcs8: string
  readonly tests: ReadonlyArray<OaepCase>
}>

/** A vector as an envelope; `plaintext` is what must come out of it, `undefined` if it must be refused. */
interface Trial {
  readonly id: number
  readonly why: string
  readonly envelope: Uint8Array
  readonly plaintext: Buffer | undefined
  readonly privateKey: Buffer
}

const bytes = (hex: string): Buffer => Buffer.from(hex, "hex")
const base64 = (hex: string): string => bytes(hex).toString("base64")

const envelope = (fields: { readonly ciphertext: string; readonly nonce: string; readonly tag: string },
  encryptedKey: Buffer): Uint8Array =>
  Buffer.from(JSON.stringify({
    version: Envelope.version,
    algorithm: Envelope.algorithm,
    encrypted_payload: fields,
    encrypted_aes_key: encryptedKey.toString("base64")
  }))

/** AES-GCM: the vector's key, wrapped as it is for a client. */
const gcm = ({ testGroups }: Gcm): ReadonlyArray<Trial> => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" })
  return testGroups.flatMap(({ ivSize, keySize, tagSize, tests }) =>
    tests.map(({ aad, ct, iv, key, msg, result, tag, tcId }) => {
      const why = keySize !== 256
        ? "a key of another size"
        : ivSize !== 96
        ? "a nonce of another size"
        : tagSize !== 128
        ? "a tag of another size"
        : aad !== ""
        ? "additional data"
        : result
      return {
        id: tcId,
        why,
        envelope: envelope(
          { ciphertext: base64(ct), nonce: base64(iv), tag: base64(tag) },
          publicEncrypt({ key: publicKey, oaepHash: "sha256" }, bytes(key))
        ),
        plaintext: why === "valid" ? bytes(msg) : undefined,
        privateKey: pkcs8
      }
    })
  )
}

const PLAINTEXT = Buffer.from("sealed under the vector's message")

/** RSA-OAEP: the vector's message is the AES key, under which something is sealed where it can be one. */
const oaep = ({ testGroups }: Oaep): ReadonlyArray<Trial> =>
  testGroups.flatMap(({ mgf, mgfSha, privateKeyPkcs8, sha, tests }) =>
    tests.map(({ ct, label, msg, result, tcId }) => {
      const key = bytes(msg)
      const why = result === "invalid"
        ? "invalid"
        : sha !== "SHA-256" || mgf !== "MGF1" || mgfSha !== "SHA-256"
        ? "another hash"
        : label !== ""
        ? "a label"
        : key.length !== 32
        ? "a message that is no 256-bit key"
        : result
      const nonce = Buffer.alloc(12)
      const cipher = createCipheriv("aes-256-gcm", key.length === 32 ? key : Buffer.alloc(32), nonce)
      const ciphertext = Buffer.concat([cipher.update(PLAINTEXT), cipher.final()])
      return {
        id: tcId,
        why,
        envelope: envelope(
          { ciphertext: ciphertext.toString("base64"), nonce: nonce.toString("base64"),
            tag: cipher.getAuthTag().toString("base64") },
          bytes(ct)
        ),
        plaintext: why === "valid" ? PLAINTEXT : undefined,
        privateKey: bytes(privateKeyPkcs8)
      }
    })
  )

const files = {
  "aes_gcm_test.json": (text: string) => ({ file: JSON.parse(text) as Gcm, trials: gcm(JSON.parse(text)) }),
  "rsa_oaep_2048_sha256_mgf1sha256_test.json": (text: string) => ({ file: JSON.parse(text) as Oaep,
    trials: oaep(JSON.parse(text)) }),
  "rsa_oaep_4096_sha256_mgf1sha256_test.json": (text: string) => ({ file: JSON.parse(text) as Oaep,
    trials: oaep(JSON.parse(text)) })
}

/** Opens every envelope; gives the ids of those that did not end as they must. */
const run = (trials: ReadonlyArray<Trial>) =>
  Effect.gen(function*() {
    const crypto = yield* Crypto.Crypto
    const keys = new Map<string, Crypto.PrivateKey>()
    const wrong: Array<number> = []
    for (const { envelope, id, plaintext, privateKey } of trials) {
      const name = privateKey.toString("hex")
      const key = keys.get(name) ?? (yield* crypto.importKeyPair(Uint8Array.from(privateKey), 0)).privateKey
      keys.set(name, key)
      const exit = yield* Effect.exit(
        Envelope.open(key, envelope, (opened) => Effect.sync(() => Buffer.from(opened.plaintext)))
      )
      const isRight = plaintext === undefined
        ? Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error.reason === "envelope"
        : Exit.isSuccess(exit) && exit.value.equals(plaintext)
      if (!isRight) wrong.push(id)
    }
    return wrong
  })

const layers = { "WebCrypto": WebCrypto.layer, "node:crypto": NodeCrypto.layer }

const directory = process.argv[2]
if (directory === undefined) {
  console.error("usage: npm run test:wycheproof -- DIRECTORY")
  process.exit(2)
}

for (const [name, read] of Object.entries(files)) {
  const { file, trials } = read(Fs.readFileSync(Path.join(directory, name), "utf8"))
  const counts = new Map<string, number>()
  for (const { why } of trials) counts.set(why, (counts.get(why) ?? 0) + 1)
  if (trials.length !== file.numberOfTests) {
    console.error(`${name}: ${file.numberOfTests} cases are announced, ${trials.length} are there`)
    process.exitCode = 1
  }
  const refused = [...counts].filter(([why]) => why !== "valid").map(([why, count]) => `${why} ${count}`)
    .join(", ")
  for (const [layer, crypto] of Object.entries(layers)) {
    const wrong = await Effect.runPromise(
      Effect.provide(run(trials), Layer.provideMerge(crypto, SecureMemory.layer))
    )
    console.log(
      `${name}, ${layer}: ${trials.length} cases; opened: valid ${
        counts.get("valid") ?? 0
      }; refused: ${refused}`
    )
    if (wrong.length > 0) {
      console.error(`${name}, ${layer}: not so: ${wrong.join(", ")}`)
      process.exitCode = 1
    }
  }
}
