/**
 * Adapters to the services of `@effect/platform`.
 *
 * @since 0.2.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import { toBytes } from "../../Body.js"
import type { ChatCompletionRequest } from "../../ChatCompletion.js"
import { createFetch, type FetchOptions } from "../../fetch/index.js"
import { connectionError } from "../../internal/connectionError.js"
import { strictFetch } from "../../internal/strictFetch.js"
import { refuseUnverified } from "../../internal/unverifiedTls.js"
import * as NomyoClient from "../../NomyoClient.js"
import { SecurityError } from "../../NomyoError.js"
import { onAbort, reasonOf } from "../../internal/abort.js"
import * as Transport from "../../Transport.js"

/** The request for an `HttpClient`. Fails with a `SecurityError` if its body is not right. */
const toHttpRequest = ({ body, headers, method, url }: Transport.Request) =>
  Effect.try({
    try: () => {
      const request = HttpClientRequest.setHeaders(HttpClientRequest.make(method)(url), headers)
      if (body === undefined) return request
      return HttpClientRequest.bodyUint8Array(request, toBytes(body), headers["Content-Type"])
    },
    catch: (error) => connectionError(error, url)
  })

const followedRedirect = () =>
  new SecurityError({
    reason: "redirect",
    message: "The HttpClient followed a redirect. Provide a client that follows none"
  })

const toResponse = (response: HttpClientResponse.HttpClientResponse): Transport.Response => ({
  status: response.status,
  header: (name) => response.headers[name],
  body: Stream.toAsyncIterable(response.stream)
})

const exchange = (client: HttpClient.HttpClient): Transport.Exchange => (request) =>
  Effect.zipRight(refuseUnverified(request), toHttpRequest(request)).pipe(
    Effect.flatMap(client.execute),
    Effect.provideService(FetchHttpClient.RequestInit, strictFetch),
    // a client may be set to fail on a status: `Transport.make` has a more precise error
    Effect.catchTag("ResponseError", ({ response }) => Effect.succeed(response)),
    Effect.mapError((error) => connectionError(error, request.url)),
    Effect.filterOrFail((response) => response.request.url === request.url, followedRedirect),
    Effect.map(toResponse)
  )

/**
 * A `Transport` on any `HttpClient`, as strict as the others, without trace headers. It replaces the
 * `HttpClient`'s own errors, because they hold the request.
 *
 * `FetchHttpClient.layer` is safe: this layer switches its redirects off. Do not use another client that
 * follows redirects: the transport can refuse its answer only after the request has gone there.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerTransport: Layer.Layer<Transport.Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport.Transport,
  Effect.map(HttpClient.HttpClient, (client) =>
    Transport.make(exchange(client.pipe(
      HttpClient.withTracerPropagation(false),
      HttpClient.withTracerDisabledWhen(() => true)
    ))))
)

/** Fails with the signal's reason once it is aborted. */
const aborted = (signal: AbortSignal | undefined): Effect.Effect<never, unknown> =>
  signal === undefined
    ? Effect.never
    : Effect.async((resume) => {
      const abort = () => resume(Effect.fail(reasonOf(signal)))
      // it may be aborted before the stream starts
      if (signal.aborted) return abort()
      return Effect.sync(onAbort(signal, abort))
    })

/**
 * Provides `FetchHttpClient.Fetch`. An OpenAI client built on `FetchHttpClient.layer` then sends its chat
 * completions encrypted through `NomyoClient`. Calls to other addresses than `BASE_URL` of `nomyo-js/fetch`
 * get a 400. `options` are those of `createFetch`.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerFetch = (
  options: FetchOptions = {}
): Layer.Layer<FetchHttpClient.Fetch, never, NomyoClient.NomyoClient> =>
  Layer.effect(
    FetchHttpClient.Fetch,
    Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const runtime = yield* Effect.runtime<NomyoClient.NomyoClient>()
      const run = Runtime.runPromiseExit(runtime)
      return createFetch({
        create: async (request, { signal, ...options }) => {
          const answer = client.create(request as ChatCompletionRequest, options)
          const exit = await run(answer, signal === undefined ? {} : { signal })
          if (Exit.isSuccess(exit)) return exit.value
          throw Cause.squash(exit.cause)
        },
        stream: (request, { signal, ...options }) => {
          const chunks = NomyoClient.stream(request as ChatCompletionRequest, options)
          return Stream.toAsyncIterableRuntime(Stream.interruptWhen(chunks, aborted(signal)), runtime)
        }
      }, options)
    })
  )
