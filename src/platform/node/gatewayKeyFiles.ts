/**
 * A router's keys of protocol 2 in a directory: `protocol2_key.<id>.<start>.pem`, PKCS#8 (RFC 8410) in PEM.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Pem from "../../internal/codecs/pem.js"
import { SecurityError } from "../../NomyoError.js"
import type { KeyStorage, StoredKey } from "../../router/GatewayKeys.js"
import * as Files from "./files.js"
import * as KeyDirectory from "./keyDirectory.js"

const LABEL = "PRIVATE KEY"
const MODE = 0o600
const NAME = /^protocol2_key\.(\d{1,3})\.(\d{1,16})\.pem$/
/** Prefix of the 32 bytes of an X25519 key in PKCS#8 (RFC 8410, 7). */
const PKCS8_HEAD = Uint8Array.from(Buffer.from("302e020100300506032b656e04220420", "hex"))
const KEY_LENGTH = 32

const pathOf = (dir: string, { keyId, startsAt }: Pick<StoredKey, "keyId" | "startsAt">): string =>
  Path.join(dir, `protocol2_key.${keyId}.${startsAt}.pem`)

const read = async (path: string): Promise<Uint8Array<ArrayBuffer>> => {
  const pem = Uint8Array.from(
    await Files.readSmall(path, KeyDirectory.LARGEST_FILE, KeyDirectory.ownFiles) ?? []
  )
  try {
    const der = Pem.decode(pem, LABEL)?.der
    const head = der?.subarray(0, PKCS8_HEAD.length)
    if (der?.length === PKCS8_HEAD.length + KEY_LENGTH && Bytes.equals(head!, PKCS8_HEAD)) {
      return der.slice(PKCS8_HEAD.length)
    }
  } finally {
    pem.fill(0)
  }
  throw Files.refuse(`${path} holds no X25519 private key; remove it, and the router creates another`)
}

const load = async (dir: string): Promise<ReadonlyArray<StoredKey>> => {
  await KeyDirectory.prepare(dir)
  const found = (await Fs.readdir(dir)).flatMap((name) => {
    const [, keyId, startsAt] = NAME.exec(name) ?? []
    return keyId === undefined ? [] : [{ keyId: Number(keyId), startsAt: Number(startsAt) }]
  })
  return Promise.all(found.map(async (key) => ({ ...key, privateKey: await read(pathOf(dir, key)) })))
}

const save = async (dir: string, key: StoredKey): Promise<void> => {
  const pkcs8 = Bytes.concat([PKCS8_HEAD, key.privateKey])
  const pem = Pem.encode(LABEL, pkcs8)
  const path = pathOf(dir, key)
  try {
    await Files.commit(await Files.stage(path, pem, MODE, key.startsAt), path)
  } finally {
    pkcs8.fill(0)
    pem.fill(0)
  }
}

const attempt = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) =>
      error instanceof SecurityError
        ? error
        : new SecurityError({
          reason: "client-key",
          message: `The router's keys cannot be ${what} (${
            Files.codeOf(error) ?? "unknown"
          }): check --key-dir`
        })
  })

/** Keeps a router's keys in a directory that is its user's own. */
export const make = (dir: string): KeyStorage => ({
  load: attempt("read", () => load(dir)),
  save: (key) => attempt("written", () => save(dir, key)),
  remove: (key) => attempt("removed", () => Fs.rm(pathOf(dir, key), { force: true }))
})
