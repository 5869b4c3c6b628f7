/**
 * The steps of a request one by one, as promises.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { layerKeyStore, loadKeyPair } from "#platform"
import * as ChatCompletion from "../ChatCompletion.js"
import { Crypto, type PublicKey } from "../Crypto.js"
import * as Envelope from "../Envelope.js"
import * as Options from "../internal/options.js"
import { KeyRing } from "../KeyRing.js"
import { KeyStore } from "../KeyStore.js"
import { NomyoClient } from "../NomyoClient.js"
import { RouterKey } from "../RouterKey.js"
import type { SecureMemory } from "../SecureMemory.js"
import type { ChatCompletionResponse } from "../openai/chatAnswer.js"
import type { SecurityTier } from "../openai/chatRequest.js"
import { ClientRuntime, readConfig } from "./ClientRuntime.js"
import type { Bytes, CallOptions, ClientConfig } from "./options.js"
import { PromiseClient } from "./PromiseClient.js"

/**
 * Options of `SecureCompletionClient`.
 *
 * @since 0.2.0
 * @category models
 */
export interface SecureCompletionClientConfig extends ClientConfig {
  /** URL of the router, with or without `/v1` at its end. Default `https://api.nomyo.ai`. */
  readonly routerUrl?: string | undefined
}

/**
 * Options of `generateKeys`.
 *
 * @since 0.2.0
 * @category models
 */
export interface GenerateKeysOptions {
  /** Length of the keys in bits. Default: the client's `keySize`. */
  readonly keySize?: 2048 | 4096 | undefined
  /** Directory to save the pair in, on Node; `false` keeps it in memory only. Default: the client's own. */
  readonly keyDir?: string | false | undefined
  /** Encrypts the private key file. At least 8 characters. Default: the client's `keyRotationPassword`. */
  readonly password?: string | undefined
}

/** Creates a key pair and saves it in place of the stored one. */
const storeNewPair = (keySize: 2048 | 4096) =>
  Effect.gen(function*() {
    const crypto = yield* Crypto
    const keyStore = yield* KeyStore
    const stored = yield* keyStore.load
    return yield* keyStore.save(yield* crypto.generateKeyPair(keySize), Option.getOrUndefined(stored))
  })

/**
 * The lower-level client: key management, encryption and the exchange as separate steps. It sends payloads
 * unchecked and unchanged. Calls reject with one of the ten errors of `nomyo-js`, or, if you abort them, with
 * the signal's reason.
 *
 * @since 0.2.0
 * @category classes
 */
export class SecureCompletionClient extends PromiseClient {
  readonly #config: ReturnType<typeof readConfig>
  readonly #runtime: ClientRuntime

  /**
   * Uses no disk or network. The first call reads the options and the keys. It rejects with an
   * `InvalidRequestError` if an option is invalid.
   */
  constructor(config: SecureCompletionClientConfig = {}) {
    const read = readConfig(Options.completionClientRules, config)
    const runtime = new ClientRuntime(read)
    super(runtime)
    this.#config = read
    this.#runtime = runtime
  }

  /** Creates a key pair, saves it in place of the stored one, and uses it. Resolves to its public key. */
  generateKeys(options?: GenerateKeysOptions): Promise<PublicKey> {
    const config = this.#config
    return this.#runtime.run(Effect.gen(function*() {
      const own = Options.pickOptions(Options.clientRules, yield* config)
      const { keyDir, keySize, password } = yield* Options.readOptions(Options.generateKeysRules, options)
      const store = layerKeyStore({
        ...own,
        ...(keyDir === undefined ? {} : { keyDir, keyRotationDir: undefined }),
        ...(password === undefined ? {} : { keyRotationPassword: password })
      })
      const ring = yield* KeyRing
      const context = yield* Effect.context<Crypto | SecureMemory>()
      const made = Effect.provide(storeNewPair(keySize ?? own.keySize ?? 4096), store)
      return (yield* ring.replace(Effect.provide(made, context))).publicKey
    }))
  }

  /**
   * Reads a key pair from PEM files and uses it from now on. Node only. `publicKeyPath` is only compared with
   * the private key. `password` is that of an encrypted private key file. A wrong one is a `SecurityError`
   * with reason `key-password`.
   */
  loadKeys(privateKeyPath: string, publicKeyPath?: string, password?: string): Promise<PublicKey> {
    return this.#runtime.run(Effect.gen(function*() {
      const ring = yield* KeyRing
      const context = yield* Effect.context<Crypto | SecureMemory>()
      const load = loadKeyPair(privateKeyPath, {
        publicKeyPath,
        password: password === undefined ? undefined : Redacted.make(password)
      })
      return (yield* ring.replace(Effect.provide(load, context))).publicKey
    }))
  }

  /** Fetches the router's public key now, in PEM. */
  fetchServerPublicKey(): Promise<string> {
    return this.#runtime.run(Effect.flatMap(RouterKey, (routerKey) =>
      Effect.map(routerKey.refetch, ({ key }) => key.pem)))
  }

  /**
   * Seals a payload to the router's key, under protocol 1.0. Resolves to the envelope as bytes. A payload of
   * bytes must be JSON in UTF-8. The client makes no string of it. Zero it yourself when the call has
   * settled.
   */
  encryptPayload(payload: object | Uint8Array): Promise<Bytes> {
    return this.#runtime.run(Effect.gen(function*() {
      const plaintext = yield* ChatCompletion.encodePayload(payload)
      const { key } = yield* Effect.flatMap(RouterKey, (routerKey) => routerKey.get)
      return yield* Envelope.seal(key, plaintext)
    }))
  }

  /**
   * Opens an answer's envelope with the current key pair, under protocol 1.0. `payloadId` is the id of the
   * request, which `_metadata` repeats. An answer with another id is a `SecurityError` with reason `replay`.
   */
  decryptResponse(
    encrypted: Uint8Array | ArrayBuffer,
    payloadId: string
  ): Promise<ChatCompletionResponse> {
    return this.#runtime.run(Effect.flatMap(KeyRing, (ring) =>
      ring.lease(({ privateKey }) =>
        Envelope.open(privateKey, new Uint8Array(encrypted), (opened) =>
          ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId }))
      )))
  }

  /**
   * Seals a payload, sends it, and opens the answer, with the client's retries. A payload of bytes must be
   * JSON, as for `encryptPayload`. `payloadId` is an id of your own, new for each request, such as
   * `crypto.randomUUID()`. Default `apiKey`: the client's. Default `securityTier`: the router's.
   */
  sendSecureRequest(
    payload: object | Uint8Array,
    payloadId: string,
    apiKey?: string,
    securityTier?: SecurityTier,
    options?: CallOptions
  ): Promise<ChatCompletionResponse> {
    return this.#runtime.call(Options.readOptions(Options.callRules, options), (read) =>
      Effect.gen(function*() {
        const client = yield* NomyoClient
        const plaintext = yield* ChatCompletion.encodePayload(payload)
        return yield* client.send(plaintext, { ...read, payloadId, apiKey, securityTier })
      }))
  }
}
