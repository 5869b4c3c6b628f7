/**
 * A NOMYO router as an `HttpApp`, for tests, for development, and in front of a model server. It checks
 * messages as strictly as the client does, and never logs their content.
 *
 * @since 0.2.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { Crypto, type KeyPair } from "../Crypto.js"
import { ONLY_PROTOCOL_2 } from "../internal/statusMessage.js"
import { durationOrZero } from "../NomyoConfig.js"
import { type HttpError, type InvalidRequestError, type SecurityError, ServerError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import * as Transport from "../Transport.js"
import { makeAuthorize } from "./authorize.js"
import { complete } from "./complete.js"
import { type Gateway, withGateway } from "./gateway.js"
import * as EchoModel from "./EchoModel.js"
import * as Model from "./Model.js"
import { makeRateLimit } from "./rateLimit.js"
import { errorResponse, refuse } from "./refuse.js"
import * as RouterKeys from "./RouterKeys.js"

/**
 * An API key that the router accepts.
 *
 * @since 0.3.0
 * @category models
 */
export interface ApiKey {
  /** Name of the key in the log. */
  readonly label: string
  readonly token: Redacted.Redacted
}

/**
 * Options of a router.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** The model that answers. Default: the echo model. */
  readonly model?: Model.Model | undefined
  /** The ids of `GET /v1/models`. Default: the echo model's ids, or a 404 with another model. */
  readonly models?: Model.Models | undefined
  /** The API key that clients must send. Default: no key. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** More API keys that the router accepts. Default: no keys. */
  readonly apiKeys?: ReadonlyArray<ApiKey> | undefined
  /** The router's key pair. Default: a new one of 4096 bits. */
  readonly keyPair?: KeyPair | undefined
  /** Key pairs that are replaced while the router runs, in place of `keyPair`. */
  readonly keys?: RouterKeys.RouterKeys | undefined
  /** Keys and memory of protocol 2. Default: new ones in memory, which a restart loses. */
  readonly gateway?: Gateway | undefined
  /**
   * Pads answers of protocol 2: whole answers to at least 1024 bytes, by at most 12 %, and each chunk of a
   * stream to a multiple of 256 bytes. `false` shows everyone on the path the exact lengths. Default `true`.
   */
  readonly padding?: boolean | undefined
  /**
   * Longest time that the router holds back a stream's event to send it together with later ones. A watcher
   * of the network then sees fewer, larger chunks. A number is milliseconds. A chunk that is full (16 KiB)
   * does not wait. Default 0: each event is sent at once.
   */
  readonly flush?: Duration.DurationInput | undefined
  /** Accepts only protocol 2: the paths of protocol 1.0 are a 404. Default: protocols 1.0 and 2. */
  readonly protocol?: 2 | undefined
  /**
   * Applies the service's limit to each API key: 2 requests a second, and once in ten seconds a burst of 4 in
   * one second. Further requests get a 429. After 100 of these in ten seconds, the key gets a 503 for 30
   * minutes. Default `false`.
   */
  readonly rateLimit?: boolean | undefined
}

const KEY_SIZE = 4096

const keysOf = Effect.fnUntraced(function*({ keyPair, keys }: Options) {
  if (keys !== undefined) return keys
  const crypto = yield* Crypto
  return RouterKeys.fixed(keyPair ?? (yield* crypto.generateKeyPair(KEY_SIZE)))
})

const apiKeysOf = ({ apiKey, apiKeys = [] }: Options): ReadonlyArray<ApiKey> =>
  apiKey === undefined ? apiKeys : [{ label: "default", token: apiKey }, ...apiKeys]

const noModels: Model.Models = refuse(404,
  "This router has no list of models. Ask its operator for their ids")

const ownerOf = (id: string): string => id.includes("/") ? id.split("/")[0]! : "router"

const listOf = (ids: ReadonlyArray<string>) =>
  HttpServerResponse.unsafeJson({
    object: "list",
    data: ids.map((id) => ({ id, object: "model", created: 0, owned_by: ownerOf(id) }))
  })

const publicKey = (keys: RouterKeys.RouterKeys) =>
  Effect.sync(() => HttpServerResponse.text(keys.publicKey().pem, { contentType: "application/x-pem-file" }))

/** A defect's message may repeat the payload: neither the client nor the log gets it. */
const onDefect = () =>
  Effect.as(
    Effect.logError(
      "A request failed inside the router or its model. Check a model of your own, or report a bug in " +
        "nomyo-js"
    ),
    errorResponse(new ServerError({ message: "The router failed" }))
  )

const withErrors = <E extends HttpError, R>(app: HttpApp.Default<E, R>) =>
  app.pipe(
    Effect.catchAll((error: HttpError) => Effect.succeed(errorResponse(error))),
    Effect.catchAllDefect(onDefect)
  )

/**
 * Makes a router. It answers `GET /health`, `GET /pki/public_key`, `GET /v1/models`,
 * `POST /v1/chat/secure_completion`, and the paths of protocol 2. To let pages of other origins read its
 * answers, add `HttpMiddleware.cors` of `@effect/platform`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<HttpApp.Default, InvalidRequestError | SecurityError, Crypto | SecureMemory> {
  const context = Context.pick(Crypto, SecureMemory)(yield* Effect.context<Crypto | SecureMemory>())
  const model = options.model ?? (yield* Model.makeEcho)
  const models = options.models ?? (options.model === undefined ? EchoModel.models : noModels)
  const authorize = yield* makeAuthorize(apiKeysOf(options))
  const rateLimit = options.rateLimit === true ? makeRateLimit() : () => Effect.void
  const authorized = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    Effect.as(authorize(headers["authorization"]), headers["authorization"] ?? ""))

  const common = HttpRouter.empty.pipe(
    HttpRouter.get("/health", HttpServerResponse.unsafeJson({ status: "ok" })),
    HttpRouter.get("/v1/models", Effect.map(Effect.zipRight(authorized, models), listOf))
  )
  const limited = (authorization: string | undefined) =>
    Effect.zipRight(authorize(authorization), rateLimit(authorization ?? ""))
  const { gateway, padding } = options
  const flush = yield* durationOrZero("flush", options.flush ?? 0)
  const router = yield* withGateway(common, gateway, { model, authorize: limited, padding, flush })
  if (options.protocol === 2) return finished(withoutProtocol1(router))
  const keys = yield* keysOf(options)
  return finished(router.pipe(
    HttpRouter.get("/pki/public_key", publicKey(keys)),
    HttpRouter.post(
      "/v1/chat/secure_completion",
      Effect.zipRight(Effect.flatMap(authorized, rateLimit), Effect.provide(complete(keys, model), context))
    )
  ))
})

/** Says to clients of protocol 1.0 which protocol there is. */
const withoutProtocol1 = <E>(router: HttpRouter.HttpRouter<E>) => {
  const refused = refuse(404, ONLY_PROTOCOL_2)
  return router.pipe(
    HttpRouter.get("/pki/public_key", refused),
    HttpRouter.post("/v1/chat/secure_completion", refused)
  )
}

const finished = <E extends HttpError>(router: HttpRouter.HttpRouter<E>): HttpApp.Default =>
  withErrors(Effect.catchTag(
    router as HttpRouter.HttpRouter<HttpError>,
    "RouteNotFound",
    () => refuse(404, "There is no such path")
  ))

/**
 * A `Transport` for tests of code that uses the client. It passes each request to a router in the same
 * process, for any URL.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerTransport = (
  options: Options = {}
): Layer.Layer<Transport.Transport, InvalidRequestError | SecurityError, Crypto | SecureMemory> =>
  Layer.effect(
    Transport.Transport,
    Effect.gen(function*() {
      const handle = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(yield* make(options))
      return Transport.fromFetch((input, init) => handle(new Request(input, init)))
    })
  )
