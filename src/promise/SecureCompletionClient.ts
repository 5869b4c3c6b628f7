/**
 * The steps of a request one by one, for callers without Effect.
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
import { KeyRing } from "../KeyRing.js"
import { KeyStore } from "../KeyStore.js"
import { NomyoClient } from "../NomyoClient.js"
import { RouterKey } from "../RouterKey.js"
import type { SecureMemory } from "../SecureMemory.js"
import { type CallOptions, type ClientConfig, PromiseClient } from "./PromiseClient.js"

/**
 * Options of `SecureCompletionClient`.
 *
 * @since 0.2.0
 * @category models
 */
export interface SecureCompletionClientConfig extends ClientConfig {
  /** The router. Default `https://api.nomyo.ai`. */
  readonly routerUrl?: string | undefined
}

/**
 * What `generateKeys` may be told.
 *
 * @since 0.2.0
 * @category models
 */
export interface GenerateKeysOptions {
  /** Length of the keys in bits. Default: the client's `keySize`. */
  readonly keySize?: 2048 | 4096 | undefined
  /** Where to save the pair, on Node; `false` keeps it in memory only. Default: where the client keeps its own. */
  readonly keyDir?: string | false | undefined
  /** Encrypts the private key file. At least 8 characters. Default: the client's `keyRotationPassword`. */
  readonly password?: string | undefined
}

/**
 * The lower-level client: key management, encryption and the exchange as separate steps. Payloads are sent as they are, unchecked.
 * Rejects with the errors of `NomyoError`.
 *
 * @since 0.2.0
 * @category classes
 */
export class SecureCompletionClient extends PromiseClient {
  readonly #config: SecureCompletionClientConfig

  constructor(config: SecureCompletionClientConfig = {}) {
    super(config, config.routerUrl)
    this.#config = config
  }

  /** Makes a key pair, saves it, and uses it from now on. */
  generateKeys(options: GenerateKeysOptions = {}): Promise<PublicKey> {
    const store = layerKeyStore({
      ...this.#config,
      ...(options.keyDir === undefined ? {} : { keyDir: options.keyDir, keyRotationDir: undefined }),
      ...(options.password === undefined ? {} : { keyRotationPassword: options.password })
    })
    const { keySize = this.#config.keySize ?? 4096 } = options
    return this.run(Effect.gen(function*() {
      const crypto = yield* Crypto
      const ring = yield* KeyRing
      const context = yield* Effect.context<Crypto | SecureMemory>()
      const make = Effect.gen(function*() {
        const keyStore = yield* KeyStore
        const stored = yield* keyStore.load
        return yield* keyStore.save(yield* crypto.generateKeyPair(keySize), Option.getOrUndefined(stored))
      }).pipe(Effect.provide(store), Effect.provide(context))
      return (yield* ring.replace(make)).publicKey
    }))
  }

  /** Reads a key pair from PEM files and uses it from now on. Node only. */
  loadKeys(privateKeyPath: string, publicKeyPath?: string, password?: string): Promise<PublicKey> {
    return this.run(Effect.gen(function*() {
      const ring = yield* KeyRing
      const context = yield* Effect.context<Crypto | SecureMemory>()
      const load = loadKeyPair(privateKeyPath, {
        publicKeyPath,
        password: password === undefined ? undefined : Redacted.make(password)
      })
      return (yield* ring.replace(Effect.provide(load, context))).publicKey
    }))
  }

  /** The router's public key in PEM, fetched anew. */
  fetchServerPublicKey(): Promise<string> {
    return this.run(Effect.flatMap(RouterKey, (routerKey) => Effect.map(routerKey.refetch, ({ key }) => key.pem)))
  }

  /**
   * The envelope, as bytes, of a payload sealed to the router's key. A payload in bytes is JSON already: it never becomes a string, and is
   * left as it is, for the caller to zero.
   */
  encryptPayload(payload: object | Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return this.run(Effect.gen(function*() {
      const plaintext = yield* ChatCompletion.encodePayload(payload)
      const { key } = yield* Effect.flatMap(RouterKey, (routerKey) => routerKey.get)
      return yield* Envelope.seal(key, plaintext)
    }))
  }

  /**
   * Opens an answer's envelope with the current key pair. `payloadId` is the request's: it is repeated in `_metadata`, and an answer that
   * names another is refused with reason `replay`.
   */
  decryptResponse(encrypted: Uint8Array | ArrayBuffer, payloadId: string): Promise<ChatCompletion.ChatCompletionResponse> {
    return this.run(Effect.flatMap(KeyRing, (ring) =>
      ring.lease(({ privateKey }) =>
        Envelope.open(privateKey, new Uint8Array(encrypted), (opened) =>
          ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId }))
      )))
  }

  /** Seals a payload, sends it, and opens the answer, with the client's retries. Bytes are taken as `encryptPayload` takes them. */
  sendSecureRequest(
    payload: object | Uint8Array,
    payloadId: string,
    apiKey?: string,
    securityTier?: ChatCompletion.SecurityTier,
    options?: CallOptions
  ): Promise<ChatCompletion.ChatCompletionResponse> {
    return this.run(
      Effect.gen(function*() {
        const client = yield* NomyoClient
        return yield* client.send(yield* ChatCompletion.encodePayload(payload), { ...options, payloadId, apiKey, securityTier })
      }),
      options?.signal
    )
  }
}
