/**
 * The options of a client, declared once for every API. `Time` and `Secret` are the types of times and
 * secrets: Effect's types in the Effect API, plain ones in the Promise classes.
 *
 * This module imports nothing, so that the declarations of the Promise API name nothing of Effect.
 */

/** Options of every client on every platform. All are optional. */
export interface PortableOptions<Time, Secret> {
  /** URL of the router, with or without `/v1` at its end. Default `https://api.nomyo.ai`. */
  readonly baseUrl?: string | undefined
  /**
   * Allows a `baseUrl` without TLS, for local development. Default `false`: such a URL is a `SecurityError`
   * with reason `plain-http`.
   */
  readonly allowHttp?: boolean | undefined
  /** API key, sent as a bearer token. Default: no key. The Promise classes read `NOMYO_API_KEY` on Node. */
  readonly apiKey?: Secret | undefined
  /**
   * Origins that may receive the client's API key when a request's `base_url` names them, beside the client's
   * own. Example: `https://router.test`. `*.` stands for one label (`https://*.router.test`). An origin
   * without a port matches every port. A request to another router needs its own `api_key`. `false` refuses
   * every `base_url`. A refused one is a `SecurityError` with reason `untrusted-url`. Default
   * `["https://*.nomyo.ai"]`.
   */
  readonly trustedBaseUrls?: ReadonlyArray<string> | false | undefined
  /**
   * Time limit of one attempt, from fetching the router's key to the end of the answer. A number is
   * milliseconds. Default 60 seconds. A client has up to 64 requests in flight; the wait of further requests
   * is outside the limit. Node's global `fetch`, if you make it the client's, always gives up after five
   * minutes of silence.
   */
  readonly timeout?: Time | undefined
  /**
   * Longest silence within a streamed answer, between two of its chunks. A number is milliseconds. Default 60
   * seconds. A router of protocol 2 sends a sign of life every 15 seconds; an `idleTimeout` below that also
   * ends answers whose model is slow. Under protocol 1.0 the router sends whole answers, so only `timeout`
   * counts.
   */
  readonly idleTimeout?: Time | undefined
  /**
   * Maximum number of retries after a 429, 500, 502, 503, 504, a network failure or a timeout. Default 2.
   */
  readonly maxRetries?: number | undefined
  /**
   * Keeps this client's requests and retries within the service's limit for one API key: 2 requests a second;
   * one burst of up to 4 in a second is allowed every ten seconds. Requests wait in order, and the wait is
   * outside `timeout`. Other clients and processes with the same API key are not counted. Default `false`.
   */
  readonly throttle?: boolean | undefined
  /** Length of the client's RSA keys in bits, 2048 or 4096. Default 4096. */
  readonly keySize?: 2048 | 4096 | undefined
  /**
   * Age at which a key pair is replaced. A number is milliseconds; 0 switches rotation off. Default 24 hours.
   */
  readonly keyRotationInterval?: Time | undefined
  /**
   * Router keys to accept under protocol 1.0: the SHA-256 of each key's SPKI in DER, as 64 hexadecimal
   * digits, colons allowed. Another key is a `SecurityError` with reason `router-key-pin`. Default: any key
   * is accepted.
   */
  readonly routerKeyFingerprints?: ReadonlyArray<string> | undefined
  /**
   * Protocol between client and router: 1 for the NOMYO service; 2 for a router of your own, such as `npx
   * nomyo-js router`. Under protocol 2 a proxy that ends TLS cannot read answers, and streams arrive while
   * the model writes. The client never falls back to the other protocol. Default 1, or 2 with
   * `routerKeyConfig` or `routerKeyConfigFingerprints`.
   */
  readonly protocol?: 1 | 2 | undefined
  /**
   * Router keys to accept under protocol 2: the fingerprints that the router prints, as 64 hexadecimal digits
   * each, colons allowed. Another key is a `SecurityError` with reason `router-key-pin`. Default: any key is
   * accepted.
   */
  readonly routerKeyConfigFingerprints?: ReadonlyArray<string> | undefined
  /**
   * The router's list of key configurations under protocol 2, in base64. Default: the client fetches the list
   * from the router.
   */
  readonly routerKeyConfig?: string | undefined
  /**
   * Key exchange that withstands quantum computers (MLKEM768-X25519), under protocol 2. `prefer` uses it if
   * the router offers it. An attacker on the path can hide that offer. `require` sends nothing without it:
   * the call fails with a `SecurityError`. It adds 1,088 bytes to each request, and about a millisecond on
   * either side. Default `off`.
   */
  readonly postQuantum?: "off" | "prefer" | "require" | undefined
  /**
   * Under protocol 2, pads short requests to 1024 bytes and longer ones by at most 12 %, to hide their
   * length. `false` saves these bytes, and shows everyone on the path the exact length. Default `true`.
   */
  readonly padding?: boolean | undefined
  /**
   * Longest time that the client uses the router's key before it is fetched again. A number is milliseconds.
   * Default 1 hour. A router of protocol 2 may set a shorter time in its `max-age`.
   */
  readonly routerKeyTtl?: Time | undefined
  /**
   * Largest answer to accept, in bytes on the wire. A larger one is a `SecurityError` with reason
   * `response-too-large`. Default 64 MiB.
   */
  readonly maxResponseBytes?: number | undefined
}

/** Options that need a platform: files, IndexedDB, memory. */
export interface PlatformOptions<Secret> {
  /**
   * Directory of the client's key pair, on Node; `false` keeps the pair in memory only. Default `client_keys`
   * in the working directory. Elsewhere a directory is a `SecurityError` with reason `unsupported`.
   */
  readonly keyDir?: string | false | undefined
  /** Directory of the key pairs that a rotation makes, on Node. Default `keyDir`. */
  readonly keyRotationDir?: string | undefined
  /**
   * Leaves `keyDir` unchanged, on Node, for a secret that Kubernetes or another tool mounts. The files may be
   * symbolic links, and a group of this process may be allowed to read them. The client never writes,
   * replaces or removes them. So that it can rotate, set `keyRotationDir`; otherwise set
   * `keyRotationInterval: 0`. Default `false`.
   */
  readonly keyDirReadOnly?: boolean | undefined
  /**
   * Password that encrypts the private key files, on Node. At least 8 characters. Default: the files are not
   * encrypted.
   */
  readonly keyRotationPassword?: Secret | undefined
  /** Number of replaced private keys to keep, on Node, as `private_key.<time>.pem`. Default 0. */
  readonly keyHistory?: number | undefined
  /**
   * Storage of the key pair in a browser: `memory`, or `indexeddb`, which survives reloads and which the tabs
   * of an origin share. Default `memory` in a browser. On Node, setting `memory` means `keyDir: false`, and
   * `indexeddb` is a `SecurityError` with reason `unsupported`.
   */
  readonly keyPersistence?: "memory" | "indexeddb" | undefined
  /** Zeroes secret buffers after use, and locks them in memory where the platform can. Default `true`. */
  readonly secureMemory?: boolean | undefined
}

/** Options of one call. */
export interface RequestOptions<Time> {
  /**
   * Time limit of each attempt. A number is milliseconds. Default: the client's `timeout`. That one limits
   * the fetch of the router's key even if you set this one.
   */
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
   * Number of requests that may be in flight, plus results you have not taken yet. Default 4, as many as the
   * service takes at once.
   */
  readonly concurrency?: number | undefined
  /** Yields results in the order of the requests. Default `false`: in the order of their arrival. */
  readonly ordered?: boolean | undefined
}
