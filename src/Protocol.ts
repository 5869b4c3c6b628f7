/**
 * The protocol that a client speaks with its routers, as a service: one attempt of a request, sealed, sent
 * and opened.
 *
 * @since 0.3.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChatCompletionResponse } from "./ChatCompletion.js"
import type { ChatCompletionChunk } from "./ChatCompletionChunk.js"
import type { Plaintext } from "./Plaintext.js"
import type { TransportError } from "./Transport.js"

/**
 * A checked request: the parts that all its attempts share.
 *
 * @since 0.3.0
 * @category models
 */
export interface Request {
  /** The JSON of the OpenAI request. */
  readonly payload: Plaintext
  readonly payloadId: string
  /** Absent if the request has none. */
  readonly apiKey: string | undefined
  readonly securityTier: string | undefined
}

/**
 * The limits that one attempt keeps: its deadline, the exchanges at a time, and the service's rate limit.
 *
 * @since 0.3.0
 * @category models
 */
export interface Limits {
  /** Counts a part against the attempt's deadline. Parts do not nest. */
  readonly withDeadline: <A, E, R>(part: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Bounds the number of exchanges at a time. */
  readonly withPermit: <A, E, R>(exchange: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Waits until the rate limit allows one more request. The request counts until the router has answered. */
  readonly withRateLimit: <A, E, R>(exchange: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * An answer that arrives in chunks.
 *
 * @since 0.3.0
 * @category models
 */
export interface Chunks {
  /**
   * Returns the next chunks, or `undefined` after the last chunk of a complete answer. An empty list means
   * that the router is alive but the model has no text yet.
   */
  readonly pull: Effect.Effect<ReadonlyArray<ChatCompletionChunk> | undefined, TransportError>
}

/**
 * One router, with the state that the protocol keeps of it, such as its key.
 *
 * @since 0.3.0
 * @category models
 */
export interface Router {
  /** Makes one attempt. Returns the whole answer. */
  readonly create: (request: Request, limits: Limits) => Effect.Effect<ChatCompletionResponse, TransportError>
  /**
   * Makes one attempt. Returns the answer in chunks as soon as it begins. The connection closes when the
   * scope closes.
   */
  readonly stream: (request: Request, limits: Limits) => Effect.Effect<Chunks, TransportError, Scope.Scope>
}

/**
 * The operations of a protocol.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /**
   * Whether `stream` asks the router for chunks. If `false`, the client waits for the whole answer, then
   * splits it into chunks.
   */
  readonly streams: boolean
  /** The router that the client's options name. */
  readonly router: Router
  /** Another router, until the scope closes. */
  readonly routerAt: (baseUrl: string) => Effect.Effect<Router, never, Scope.Scope>
}

/**
 * The protocol of a client, as a service.
 *
 * @since 0.3.0
 * @category tags
 */
export class Protocol extends Context.Tag("nomyo-js/Protocol")<Protocol, Service>() {}
