/** What is compared: each can seal a request and open an answer, with the same keys and the same payloads. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { FlattenedEncrypt, flattenedDecrypt } from "jose"
import * as NodeCrypto from "node:crypto"
import * as Fs from "node:fs"
import * as ChatCompletion from "nomyo-js/ChatCompletion"
import * as Crypto from "nomyo-js/Crypto"
import * as Envelope from "nomyo-js/Envelope"
import * as Node from "nomyo-js/node"
import * as SecureMemory from "nomyo-js/SecureMemory"
import * as WebCrypto from "nomyo-js/WebCrypto"

export const KiB = 1024
const MiB = 1024 * KiB
export const sizes = { "1 KiB": KiB, "100 KiB": 100 * KiB, "1 MiB": MiB, "10 MiB": 10 * MiB - 256 }

/** A request with this many bytes of prose. */
export const payload = (bytes) => {
  const sentence = "The quick brown fox jumps over the lazy dog. "
  const content = sentence.repeat(Math.ceil(bytes / sentence.length)).slice(0, bytes)
  return { model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content }], temperature: 0.7 }
}
export const answer = (bytes) => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 0,
  model: "Qwen/Qwen3-0.6B",
  choices: [{ index: 0, message: { role: "assistant", content: payload(bytes).messages[0].content },
    finish_reason: "stop" }]
})

const vectors = new URL("../vectors/keys/", import.meta.url)
export const keys = (bits) => {
  const privateKey = NodeCrypto.createPrivateKey(Fs.readFileSync(new URL(`client_${bits}.pem`, vectors)))
  const publicKey = NodeCrypto.createPublicKey(privateKey)
  return {
    privateKey,
    publicKey,
    pkcs8: privateKey.export({ format: "der", type: "pkcs8" }),
    pem: publicKey.export({ format: "pem", type: "spki" })
  }
}
export const serverKeys = () => {
  const privateKey = NodeCrypto.createPrivateKey(Fs.readFileSync(new URL("server_4096.pem", vectors)))
  return { privateKey, publicKey: NodeCrypto.createPublicKey(privateKey) }
}

export const oaep = (key) => ({ key, padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: "sha256" })
const { subtle } = globalThis.crypto
const rsa = { name: "RSA-OAEP", hash: "SHA-256" }
export const privateHandle = (pkcs8) => subtle.importKey("pkcs8", pkcs8, rsa, false, ["decrypt"])

export const sealBytes = (publicKey, json) => {
  const aesKey = NodeCrypto.randomBytes(32)
  const nonce = NodeCrypto.randomBytes(12)
  const cipher = NodeCrypto.createCipheriv("aes-256-gcm", aesKey, nonce)
  const ciphertext = cipher.update(json)
  cipher.final()
  const wrapped = NodeCrypto.publicEncrypt(oaep(publicKey), aesKey)
  const head =
    "{\"version\":\"1.0\",\"algorithm\":\"hybrid-aes256-rsa4096\",\"encrypted_payload\":{\"ciphertext\":\""
  const tail = `","nonce":"${nonce.toString("base64")}","tag":"${
    cipher.getAuthTag().toString("base64")
  }"},"encrypted_aes_key":"${
    wrapped.toString("base64")
  }","key_algorithm":"RSA-OAEP-SHA256","payload_algorithm":"AES-256-GCM"}`
  const middle = Math.ceil(ciphertext.length / 3) * 4
  const bytes = Buffer.allocUnsafe(head.length + middle + tail.length)
  bytes.latin1Write(head, 0)
  bytes.latin1Write(ciphertext.base64Slice(), head.length)
  bytes.latin1Write(tail, head.length + middle)
  return bytes
}

const decrypt = (aesKey, { encrypted_payload: { ciphertext, nonce, tag } }) => {
  const decipher = NodeCrypto.createDecipheriv("aes-256-gcm", aesKey, Buffer.from(nonce, "base64"))
  decipher.setAuthTag(Buffer.from(tag, "base64"))
  const plaintext = decipher.update(Buffer.from(ciphertext, "base64"))
  decipher.final()
  return JSON.parse(plaintext.toString())
}

/**
 * The floor: `node:crypto`, base64 and JSON, in the shortest code that makes and reads an envelope. Nothing
 * else runs while it decrypts.
 */
const floor = ({ privateKey, publicKey }) => ({
  seal: (request) => sealBytes(publicKey, Buffer.from(JSON.stringify(request))),
  open: (bytes) => {
    const envelope = JSON.parse(bytes.toString("latin1"))
    return decrypt(
      NodeCrypto.privateDecrypt(oaep(privateKey), Buffer.from(envelope.encrypted_aes_key, "base64")),
      envelope
    )
  }
})

/** The same with its private operation on another thread, as a client must have it. */
const floorOnThread = async (pair) => {
  const handle = await privateHandle(pair.pkcs8)
  return {
    seal: floor(pair).seal,
    open: async (bytes) => {
      const envelope = JSON.parse(bytes.toString("latin1"))
      return decrypt(
        Buffer.from(
          await subtle.decrypt("RSA-OAEP", handle, Buffer.from(envelope.encrypted_aes_key, "base64"))
        ),
        envelope
      )
    }
  }
}

/** The same with WebCrypto. */
const floorWeb = async ({ pkcs8, publicKey }) => {
  const privateHandle = await subtle.importKey("pkcs8", pkcs8, rsa, false, ["unwrapKey"])
  const publicHandle = await subtle.importKey("spki", publicKey.export({ format: "der", type: "spki" }), rsa,
    false, ["wrapKey"])
  const base64 = (bytes) => Buffer.from(bytes).toString("base64")
  return {
    async seal(request) {
      const nonce = globalThis.crypto.getRandomValues(new Uint8Array(12))
      const aesKey = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"])
      const [wrapped, sealed] = await Promise.all([
        subtle.wrapKey("raw", aesKey, publicHandle, rsa),
        subtle.encrypt({ name: "AES-GCM", iv: nonce }, aesKey,
          new TextEncoder().encode(JSON.stringify(request)))
      ])
      const length = sealed.byteLength - 16
      return Buffer.from(JSON.stringify({
        version: "1.0",
        algorithm: "hybrid-aes256-rsa4096",
        encrypted_payload: {
          ciphertext: base64(new Uint8Array(sealed, 0, length)),
          nonce: base64(nonce),
          tag: base64(new Uint8Array(sealed, length))
        },
        encrypted_aes_key: base64(wrapped)
      }), "latin1")
    },
    async open(bytes) {
      const { encrypted_aes_key, encrypted_payload: { ciphertext, nonce, tag } } = JSON.parse(
        bytes.toString("latin1")
      )
      const aesKey = await subtle.unwrapKey("raw", Buffer.from(encrypted_aes_key, "base64"), privateHandle,
        rsa, "AES-GCM", false, ["decrypt"])
      const joined = Buffer.concat([Buffer.from(ciphertext, "base64"), Buffer.from(tag, "base64")])
      const plaintext = await subtle.decrypt({ name: "AES-GCM", iv: Buffer.from(nonce, "base64") }, aesKey,
        joined)
      return JSON.parse(Buffer.from(plaintext).toString())
    }
  }
}

/** JWE, flattened, with the same algorithms. */
const jose = ({ privateKey, publicKey }) => ({
  seal: async (request) => {
    const jwe = await new FlattenedEncrypt(new TextEncoder().encode(JSON.stringify(request)))
      .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" })
      .encrypt(publicKey)
    return Buffer.from(JSON.stringify(jwe))
  },
  open: async (bytes) => {
    const { plaintext } = await flattenedDecrypt(JSON.parse(bytes.toString()), privateKey)
    return JSON.parse(new TextDecoder().decode(plaintext))
  }
})

/** The client's own modules, on the layers of these names. */
const own = async ({ pem, pkcs8 }, crypto, memory) => {
  const runtime = ManagedRuntime.make(Layer.provideMerge(crypto, memory))
  const { privateKey, publicKey } = await runtime.runPromise(Effect.gen(function*() {
    const service = yield* Crypto.Crypto
    const pair = yield* service.importKeyPair(new Uint8Array(pkcs8), 0)
    return { privateKey: pair.privateKey,
      publicKey: yield* service.importPublicKey(new TextEncoder().encode(pem)) }
  }))
  return {
    seal: (request) =>
      runtime.runPromise(
        Effect.flatMap(ChatCompletion.encodePayload(request), (bytes) => Envelope.seal(publicKey, bytes))
      ),
    /** As the transport takes it: a chunk, and then whatever else there is to do. */
    send: (request) =>
      runtime.runPromise(Effect.flatMap(ChatCompletion.encodePayload(request), (bytes) =>
        Envelope.sealWith(publicKey, bytes, ({ chunks }) =>
          Effect.promise(async () => {
            for (const _ of chunks) await new Promise((resolve) => setImmediate(resolve))
          })))),
    open: (bytes) =>
      runtime.runPromise(Envelope.open(privateKey, bytes, (opened) =>
        ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId: "id" })))
  }
}

/** How secret bytes are kept, by name; `locked` once there is such a layer. */
export const memories = {
  off: SecureMemory.layerOff,
  "zero-only": SecureMemory.layer,
  ...Object.fromEntries(
    Object.entries(Node).flatMap(([name, module]) =>
      name === "NodeSecureMemory" ? [["locked", module.layer]] : []
    )
  )
}

export const make = {
  floor,
  "floor, thread": floorOnThread,
  "floor, WebCrypto": floorWeb,
  jose,
  "nomyo-js": (pair) => own(pair, Node.NodeCrypto.layer, SecureMemory.layer),
  "nomyo-js, WebCrypto": (pair) => own(pair, WebCrypto.layer, SecureMemory.layer),
  ...Object.fromEntries(
    Object.entries(memories).map((
      [name, layer]
    ) => [`nomyo-js, ${name}`, (pair) => own(pair, Node.NodeCrypto.layer, layer)])
  )
}
