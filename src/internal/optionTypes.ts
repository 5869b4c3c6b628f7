/**
 * The options of a client, declared once for every API. `Time` and `Secret` are what a time and a secret may
 * be there: the Effect API takes Effect's types, the Promise classes take plain ones.
 *
 * This module imports nothing, so that the declarations of the Promise API name nothing of Effect.
 */

/** Options of every client on every platform. All are optional. */
export interface PortableOptions<Time, Secret> {
  /** URL of the router, with or without `/v1` at its end. Default `https://api.nomyo.ai`. */
  readonly baseUrl?: string | undefined
  /** Allows a `baseUrl` without TLS, for local development. Default `false`. */
  readonly allowHttp?: boolean | undefined
  /** API key, sent as a bearer token. Default: no key. */
  readonly apiKey?: Secret | undefined
  /**
   * Origins that may receive the client's API key when a request's `base_url` names them, beside the client's
   * own. Example: `https://router.test`. `*.` stands for one label (`https://*.router.test`). An origin
   * without a port matches every port. A request to another router needs its own `api_key`. `false` refuses
   * every `base_url`. Default `["https://*.nomyo.ai"]`.
   */
  readonly trustedBaseUrls?: ReadonlyArray<string> | false | undefined
  /**
   * Time limit of one attempt: the router's key, the request, the whole answer. A number is milliseconds.
   * Default 60 seconds. A client has up to 64 requests in flight; waiting for a place does not count.
   * On Node, `Transport.layer` (Node's `fetch`) always gives up after five minutes of silence;
   * `NodeTransport.layer` does not.
   */
  readonly timeout?: Time | undefined
  /**
   * Longest silence within a streamed answer, between two of its chunks. A number is milliseconds. Default 60
   * seconds. A router of protocol 2 sends a sign of life every 15 seconds; a shorter time also ends answers
   * whose model is slow. Under protocol 1 an answer comes whole, so only `timeout` counts.
   */
  readonly idleTimeout?: Time | undefined
  /**
   * Maximum number of retries after a 429, 500, 502, 503, 504, a network failure or a timeout. Default 2.
   */
  readonly maxRetries?: number | undefined
  /**
   * Keeps this client's requests and retries within the service's limit for one API key: 2 in a second, and
   * up to 4 in one second out of ten. Requests wait in order; `timeout` does not count the wait. Requests of
   * other clients and processes do not count. Default `false`.
   */
  readonly throttle?: boolean | undefined
  /** Length of the client's RSA keys in bits, 2048 or 4096. Default 4096. */
  readonly keySize?: 2048 | 4096 | undefined
  /** Age at which a key pair is replaced. A number is milliseconds; 0 is never. Default 24 hours. */
  readonly keyRotationInterval?: Time | undefined
  /**
   * SHA-256 fingerprints of the router keys to accept, as 64 hexadecimal digits each, colons allowed.
   * Default: any key is accepted.
   */
  readonly routerKeyFingerprints?: ReadonlyArray<string> | undefined
  /**
   * Protocol between client and router: 1 for the NOMYO service, 2 for `nomyo router`. Under protocol 2 only
   * the sender of a request can open its answer. The client never speaks the other one. Default 1, or 2 with
   * one of the next two options.
   */
  readonly protocol?: 1 | 2 | undefined
  /**
   * SHA-256 fingerprints of the router's key configurations to accept under protocol 2, as 64 hexadecimal
   * digits each, colons allowed. Default: any is accepted.
   */
  readonly routerKeyConfigFingerprints?: ReadonlyArray<string> | undefined
  /**
   * The router's list of key configurations under protocol 2, in base64. Default: it is fetched from the
   * router.
   */
  readonly routerKeyConfig?: string | undefined
  /**
   * Key exchange that withstands quantum computers (MLKEM768-X25519), under protocol 2. `prefer` uses it if
   * the router offers it; `require` fails otherwise, so that nobody on the path can hide the offer. Default
   * `off`: each request costs 1,088 bytes more, and about a millisecond more on either side.
   */
  readonly postQuantum?: "off" | "prefer" | "require" | undefined
  /**
   * Pads each request under protocol 2 to at least 1024 bytes, by at most 12 %, so that its size says little.
   * `false` saves these bytes, and shows everyone on the path the exact length. Default `true`.
   */
  readonly padding?: boolean | undefined
  /**
   * Time that the router's key is used before it is fetched again, at most. A number is milliseconds. Default
   * 1 hour. A router of protocol 2 may say less, in its `max-age`.
   */
  readonly routerKeyTtl?: Time | undefined
  /** Largest answer to accept, in bytes on the wire. Default 64 MiB. */
  readonly maxResponseBytes?: number | undefined
}

/** Options that need a platform: files, IndexedDB, memory. */
export interface PlatformOptions<Secret> {
  /**
   * Directory of the client's key pair, on Node; `false` keeps the pair in memory only. Default `client_keys`
   * in the working directory. Elsewhere a name fails with reason `unsupported`.
   */
  readonly keyDir?: string | false | undefined
  /** Directory of the key pairs that a rotation makes, on Node. Default `keyDir`. */
  readonly keyRotationDir?: string | undefined
  /**
   * Uses `keyDir` as it is, on Node, for a secret that Kubernetes or another tool mounts. Its files may be
   * symbolic links and may be readable by a group of this process. The client never writes, replaces or
   * removes them: rotation needs a `keyRotationDir`, or `keyRotationInterval: 0`. Default `false`.
   */
  readonly keyDirReadOnly?: boolean | undefined
  /**
   * Password that encrypts the private key files, on Node. At least 8 characters. Default: they are not
   * encrypted.
   */
  readonly keyRotationPassword?: Secret | undefined
  /** Number of replaced private keys to keep, on Node, as `private_key.<time>.pem`. Default 0. */
  readonly keyHistory?: number | undefined
  /**
   * Storage of the key pair in a browser: `memory`, or `indexeddb`, which survives reloads and which the tabs
   * of an origin share. Default `memory`. On Node `memory` means `keyDir: false`, and `indexeddb` fails with
   * reason `unsupported`.
   */
  readonly keyPersistence?: "memory" | "indexeddb" | undefined
  /** Zeroes secret buffers after use, and locks them in memory where the platform can. Default `true`. */
  readonly secureMemory?: boolean | undefined
}

/** Options of one call. */
export interface RequestOptions<Time> {
  /** Time limit of each attempt. A number is milliseconds. Default: the client's `timeout`. */
  readonly timeout?: Time | undefined
  /**
   * Longest silence within a streamed answer. A number is milliseconds. Default: the client's `idleTimeout`.
   */
  readonly idleTimeout?: Time | undefined
  /** Maximum number of retries. Default: the client's `maxRetries`. */
  readonly maxRetries?: number | undefined
}

/** Options of a batch beside those of its calls. */
export interface BatchOptions {
  /**
   * Number of requests that may be in flight, or answered and not taken yet. Default 4: as many as the
   * service takes at once.
   */
  readonly concurrency?: number | undefined
  /**
   * Yields outcomes in the order of the requests. Default `false`: in the order of their arrival.
   */
  readonly ordered?: boolean | undefined
}
