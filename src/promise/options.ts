/**
 * The options of the Promise classes. Their types name nothing of Effect.
 *
 * @since 0.3.0
 */
import type * as OptionTypes from "../internal/optionTypes.js"

/**
 * A time: milliseconds as a number, or a number with a unit, such as `"30 seconds"` or `"1.5 hours"`.
 *
 * @since 0.3.0
 * @category models
 */
export type Time =
  | number
  | `${number} ${"milli" | "second" | "minute" | "hour" | "day" | "week"}`
  | `${number} ${"millis" | "seconds" | "minutes" | "hours" | "days" | "weeks"}`

/**
 * Bytes that are not shared with another thread: `Uint8Array<ArrayBuffer>` since TypeScript 5.7, and
 * `Uint8Array` before.
 *
 * @since 0.3.0
 * @category models
 */
export type Bytes = ReturnType<Uint8Array["slice"]>

/**
 * The part of a `fetch` response that the client reads. The global `Response` has it.
 *
 * @since 0.3.0
 * @category models
 */
export interface FetchResponse {
  /** The HTTP status. */
  readonly status: number
  /** `true` after a redirect, which the client refuses. */
  readonly redirected?: boolean
  /** The headers of the response, by name. */
  readonly headers: { readonly get: (name: string) => string | null }
  /** The bytes of the response, or `null`. */
  readonly body: {
    readonly getReader: () => {
      readonly read: () => Promise<{ readonly done: boolean; readonly value?: unknown }>
      readonly cancel: () => Promise<void>
    }
  } | null
}

/**
 * The part of `RequestInit` that the client sets. The body is one array of bytes, never a stream.
 *
 * @since 0.3.0
 * @category models
 */
export interface FetchInit {
  /** The HTTP method. */
  readonly method: "GET" | "POST"
  /** The headers of the request, by name. */
  readonly headers: { [name: string]: string }
  /** The encrypted request; absent with `GET`. */
  readonly body?: Bytes
  /** When this signal aborts, the `fetch` must end the exchange. */
  readonly signal: AbortSignal
  /** The `fetch` must return redirects as they are. */
  readonly redirect: "manual"
  /** The `fetch` must send no cookies. */
  readonly credentials: "omit"
  /** The `fetch` must neither read nor write a cache. */
  readonly cache: "no-store"
  /** The `fetch` must send no referrer. */
  readonly referrerPolicy: "no-referrer"
}

/**
 * A function for the `fetch` option: the global `fetch`, undici's, or your own.
 *
 * @since 0.3.0
 * @category models
 */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>

/**
 * An object for the `logger` option, such as `console` or a logger of pino or winston.
 *
 * @since 0.3.0
 * @category models
 */
export interface Logger {
  /** Receives a warning of one line. */
  readonly warn: (line: string) => void
  /** Receives a debug line, if `debug` is on. Default: `warn` receives debug lines. */
  readonly debug?: ((line: string) => void) | undefined
}

/**
 * Options of both Promise classes. On Node a missing option comes from the environment variable of its name:
 * `apiKey` from `NOMYO_API_KEY`, `keyDir` from `NOMYO_KEY_DIR`. A time is milliseconds or has a unit
 * (`NOMYO_TIMEOUT="30 seconds"`). The API reference lists the variables.
 *
 * @since 0.2.0
 * @category models
 */
export interface ClientConfig
  extends Omit<OptionTypes.PortableOptions<Time, string>, "baseUrl">, OptionTypes.PlatformOptions<string> {
  /** Logs each step of the client, never prompts, answers or keys. Default `false`. */
  readonly debug?: boolean | undefined
  /**
   * Sends the requests in place of the platform's HTTP client. It must return redirects as they are: the
   * client refuses an answer that comes after one. Default: `node:http` and `node:https` on Node, the global
   * `fetch` elsewhere.
   */
  readonly fetch?: Fetch | undefined
  /** Receives warnings, and debug lines if `debug` is on. Default: `console.warn`, one line each. */
  readonly logger?: Logger | undefined
}

/**
 * Options of one call.
 *
 * @since 0.2.0
 * @category models
 */
export interface CallOptions extends OptionTypes.RequestOptions<Time> {
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Options of a batch. `timeout` and `maxRetries` apply to each of its requests; `signal` cancels the whole
 * batch.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions extends CallOptions, OptionTypes.BatchOptions {}
