/**
 * A router's keys of protocol 2 in a directory: `protocol2_key.<id>.<start>.pem`, PKCS#8 in PEM.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Pem from "../../internal/codecs/pem.js"
import { SecurityError } from "../../NomyoError.js"
import * as Hpke from "../../protocol2/Hpke.js"
import { X_WING_ID } from "../../protocol2/kems.js"
import type { KeyStorage, StoredKey } from "../../router/GatewayKeys.js"
import * as Files from "./files.js"
import * as KeyDirectory from "./keyDirectory.js"

const LABEL = "PRIVATE KEY"
const MODE = 0o600
const NAME = /^protocol2_key\.(\d{1,3})\.(\d{1,16})\.pem$/
const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
/**
 * Prefixes of the 32 bytes of a key in PKCS#8: X25519 (RFC 8410, 7), and X-Wing, by the object identifier of
 * draft-connolly-cfrg-xwing-kem.
 */
const heads = [
  { kemId: Hpke.x25519.id, head: fromHex("302e020100300506032b656e04220420") },
  { kemId: X_WING_ID, head: fromHex("3034020100300d060b2b0601040183e62d81c87a0420") }
]
const KEY_LENGTH = 32

const pathOf = (dir: string, { keyId, startsAt }: Pick<StoredKey, "keyId" | "startsAt">): string =>
  Path.join(dir, `protocol2_key.${keyId}.${startsAt}.pem`)

const read = async (path: string): Promise<Pick<StoredKey, "kemId" | "privateKey">> => {
  const pem = Uint8Array.from(
    await Files.readSmall(path, KeyDirectory.LARGEST_FILE, KeyDirectory.ownFiles) ?? []
  )
  try {
    const der = Pem.decode(pem, LABEL)?.der
    const known = heads.find(({ head }) =>
      der?.length === head.length + KEY_LENGTH && Bytes.equals(der.subarray(0, head.length), head)
    )
    if (known !== undefined) return { kemId: known.kemId, privateKey: der!.slice(-KEY_LENGTH) }
  } finally {
    pem.fill(0)
  }
  throw Files.refuse(`${path} holds no private key of protocol 2; remove it, and the router creates another`)
}

const load = async (dir: string): Promise<ReadonlyArray<StoredKey>> => {
  await KeyDirectory.prepare(dir)
  const found = (await Fs.readdir(dir)).flatMap((name) => {
    const [, keyId, startsAt] = NAME.exec(name) ?? []
    return keyId === undefined ? [] : [{ keyId: Number(keyId), startsAt: Number(startsAt) }]
  })
  return Promise.all(found.map(async (key) => ({ ...key, ...await read(pathOf(dir, key)) })))
}

const save = async (dir: string, key: StoredKey): Promise<void> => {
  const { head } = heads.find(({ kemId }) => kemId === key.kemId)!
  const pkcs8 = Bytes.concat([head, key.privateKey])
  const pem = Pem.encode(LABEL, pkcs8)
  const path = pathOf(dir, key)
  try {
    await Files.commit(await Files.stage(path, pem, MODE, key.startsAt), path)
  } finally {
    pkcs8.fill(0)
    pem.fill(0)
  }
}

const attempt = <A>(dir: string, what: string, run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) =>
      error instanceof SecurityError
        ? error
        : new SecurityError({
          reason: "client-key",
          message: `The router's keys in ${dir} cannot be ${what} (${
            Files.codeOf(error) ?? "unknown"
          }); check that this user may use the directory`
        })
  })

/** Keeps a router's keys in a directory that is its user's own. */
export const make = (dir: string): KeyStorage => ({
  load: attempt(dir, "read", () => load(dir)),
  save: (key) => attempt(dir, "written", () => save(dir, key)),
  remove: (key) => attempt(dir, "removed", () => Fs.rm(pathOf(dir, key), { force: true }))
})
