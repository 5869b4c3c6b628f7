/**
 * OpenAI's chat completions over HTTP, in front of `NomyoClient`.
 *
 * @since 0.3.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { SecurityTier } from "../ChatCompletion.js"
import { guard, makeTokens, type Refusal as Refused } from "../internal/httpGuard.js"
import { NomyoClient } from "../NomyoClient.js"
import { positiveDuration, retries } from "../NomyoConfig.js"
import { InvalidRequestError, type NomyoError } from "../NomyoError.js"
import { answerOf, Refusal } from "../openai/errors.js"
import * as Models from "../openai/models.js"
import { routeOf } from "../openai/routes.js"
import { complete, type Settings as CompletionSettings } from "./complete.js"
import { attempt } from "./readBody.js"
import { type Entry, withRequestLog } from "./requestLog.js"
import { DEFECT, errorResponse, json, rewordWith } from "./respond.js"

/**
 * Finds the ids of the models. `apiKey` is the tool's key, if the gateway passes it on to the router.
 *
 * @since 0.3.0
 * @category models
 */
export type ListModels = (apiKey: string | undefined) => Effect.Effect<ReadonlyArray<string>, NomyoError>

/**
 * Options of a gateway.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  /**
   * The ids that `GET /models` lists, or a function that finds them. The function gets the tool's API key if
   * `apiKey` is `header`. The tool gets its error. Default: the ids in the service's documentation.
   */
  readonly models?: ReadonlyArray<string> | ListModels | undefined
  /**
   * The API key for the router: `client` is the client's own; `header` is the key in the tool's
   * `Authorization: Bearer` (or Azure's `api-key`) header, if present. Default `client`.
   */
  readonly apiKey?: "client" | "header" | undefined
  /**
   * Tokens. Tools must send one of them as their bearer token, except to `GET /` and `GET /health`. Default:
   * no token, for a gateway that only your own machine can reach.
   */
  readonly tokens?: ReadonlyArray<Redacted.Redacted> | undefined
  /** The security tier of requests that name none. Default: the router's choice. */
  readonly securityTier?: SecurityTier | undefined
  /**
   * Time limit of one attempt. A number is milliseconds. Default 10 minutes, so that the tool's own timeout
   * comes first.
   */
  readonly timeout?: Duration.DurationInput | undefined
  /** The longest silence within a streamed answer. Default: the client's `idleTimeout`. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Maximum number of retries after a failed request. Default 0, because tools retry too. */
  readonly maxRetries?: number | undefined
  /** The time between two comments of a stream that waits for its answer. Default 10 seconds. */
  readonly keepAlive?: Duration.DurationInput | undefined
  /** Host names of the gateway, beside `127.0.0.1`, `localhost` and `[::1]`. Default: no others. */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
  /** Origins whose pages may use the gateway, such as `app://obsidian.md`. Default: none. */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** The scheme of the gateway's own origin. Default `http`. */
  readonly scheme?: "http" | "https" | undefined
  /**
   * Rewrites the message of an error, for example to name flags of your program in place of the client's
   * options. Default: the message stays.
   */
  readonly errorMessage?: ((message: string) => string) | undefined
}

/** `Options` checked and with every default filled in. */
interface Settings extends CompletionSettings {
  readonly models: ListModels
  readonly usesHeaderKey: boolean
  /** Fails for a caller that may not come in. */
  readonly authorize: (authorization: string) => Effect.Effect<void, Refusal>
}

type Headers = HttpServerRequest.HttpServerRequest["headers"]

/** The credentials of OpenAI's and Azure's clients. */
const authorizationOf = (headers: Headers): string =>
  headers["authorization"] ?? (headers["api-key"] === undefined ? "" : `Bearer ${headers["api-key"]}`)

const bearerOf = (authorization: string): string | undefined => /^Bearer +(\S+)$/i.exec(authorization)?.[1]

const unauthorized = () =>
  new Refusal(401, "invalid_api_key", "The API key must be one of this server's tokens. Set it in your tool")

const makeAuthorize = (tokens: ReadonlyArray<Redacted.Redacted>) =>
  tokens.length === 0
    ? Effect.succeed((): Effect.Effect<void, Refusal> => Effect.void)
    : Effect.map(makeTokens(tokens.map((token) => ({ label: "", token }))), (find) =>
      (authorization: string) =>
        Effect.asVoid(Effect.filterOrFail(find(authorization), (found) => found !== undefined, unauthorized)))

const makeSettings = Effect.fnUntraced(function*(options: Options) {
  const { apiKey = "client", models = Models.DEFAULT_MODELS, tokens = [] } = options
  if (apiKey === "header" && tokens.length > 0) {
    const message = "tokens need apiKey: \"client\". Otherwise the router gets the token as its API key"
    return yield* Effect.fail(new InvalidRequestError({ message }))
  }
  const settings: Settings = {
    client: yield* NomyoClient,
    models: typeof models === "function" ? models : () => Effect.succeed(models),
    usesHeaderKey: apiKey === "header",
    authorize: yield* makeAuthorize(tokens),
    securityTier: options.securityTier,
    timeout: yield* positiveDuration("timeout", options.timeout ?? Duration.minutes(10)),
    idleTimeout: options.idleTimeout === undefined
      ? undefined
      : yield* positiveDuration("idleTimeout", options.idleTimeout),
    maxRetries: yield* retries(options.maxRetries ?? 0),
    keepAlive: yield* positiveDuration("keepAlive", options.keepAlive ?? Duration.seconds(10)),
    reword: rewordWith(options.errorMessage)
  }
  return settings
})

/** The ids, or the error as an answer. */
const modelIds = ({ models }: Settings, apiKey: string | undefined) =>
  Effect.mapError(models(apiKey), (error) => ({ answer: answerOf(error) }))

const status = json({ status: "ok",
  endpoints: ["/v1/chat/completions", "/v1/models", "/v1/models/{id}", "/health"] })

const isStatus = (path: string): boolean => /^(?:\/v1)?(?:\/health)?\/?$/.test(path)

/** Answers a request that has passed the guards. */
const answer = Effect.fnUntraced(function*(settings: Settings, entry: Entry) {
  const { headers, method: given, url } = yield* HttpServerRequest.HttpServerRequest
  const method = given === "HEAD" ? "GET" : given
  const path = url.split("?")[0]!
  if (method === "GET" && isStatus(path)) return status
  const authorization = authorizationOf(headers)
  yield* settings.authorize(authorization)
  const route = yield* attempt(() => routeOf(method, path))
  const apiKey = settings.usesHeaderKey ? bearerOf(authorization) : undefined
  switch (route.name) {
    case "completions":
      return yield* complete(settings, { apiKey, deployment: route.deployment }, entry)
    case "models":
      return json(Models.listOf(yield* modelIds(settings, apiKey)))
    case "model": {
      const ids = yield* modelIds(settings, apiKey)
      return json(yield* attempt(() => Models.find(ids, route.id)))
    }
  }
})

const refuse = ({ message, status }: Refused): HttpServerResponse.HttpServerResponse =>
  errorResponse(new Refusal(status, status === 415 ? "unsupported_media_type" : "forbidden", message).answer)

/** A defect's message may repeat the prompt: the log does not get it either. */
const onDefect = () =>
  Effect.as(Effect.logError(
    "A request failed inside the gateway. Report this as a bug in nomyo-js"
  ), errorResponse(DEFECT))

/**
 * Makes an OpenAI-compatible server in front of the client. It answers `POST /v1/chat/completions`, also with
 * `stream: true`, `GET /v1/models`, `GET /v1/models/{id}`, `GET /` and `GET /health`. Each path also works
 * without `/v1`. Every other path is a 404 in OpenAI's form.
 *
 * It accepts only requests with one of its host names, from an allowed origin, with a body of
 * `application/json`. After 5 seconds without an answer, a stream starts with status 200 and comments; a
 * later failure is an event in it. If the caller disconnects, the gateway cancels the call.
 *
 * It logs each request with method, path, status, milliseconds and payload id. An invalid option fails with
 * an `InvalidRequestError`.
 *
 * @example
 * import * as HttpServer from "@effect/platform/HttpServer"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import { Gateway } from "nomyo-js/gateway"
 * import { layer } from "nomyo-js/node"
 *
 * // a layer that needs the HttpServer of your platform
 * const server = Gateway.make({ models: ["Qwen/Qwen3-0.6B"] }).pipe(
 *   Effect.map((app) => HttpServer.serve(app)),
 *   Layer.unwrapEffect,
 *   Layer.provide(layer())
 * )
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<HttpApp.Default<never, Scope.Scope>, InvalidRequestError, NomyoClient> {
  const settings = yield* makeSettings(options)
  const guarded = guard({
    hosts: options.allowedHosts ?? [],
    origins: options.allowedOrigins ?? [],
    scheme: options.scheme ?? "http",
    contentTypes: ["application/json"],
    refuse
  })
  return withRequestLog((entry) =>
    guarded(answer(settings, entry).pipe(
      Effect.catchAll(({ answer }) => Effect.succeed(errorResponse(settings.reword(answer)))),
      Effect.catchAllDefect(onDefect)
    ))
  )
})
