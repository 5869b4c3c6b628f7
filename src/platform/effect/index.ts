/**
 * Adapters to the services of `@effect/platform`.
 *
 * @since 0.2.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import type { ChatCompletionRequest } from "../../ChatCompletion.js"
import { createFetch, type FetchOptions } from "../../fetch/index.js"
import { NomyoClient } from "../../NomyoClient.js"
import { SecurityError } from "../../NomyoError.js"
import * as Transport from "../../Transport.js"

/**
 * A `Transport` on any `HttpClient`, as strict as the others, and without trace headers. A client that follows redirects is refused, but
 * found out only after it has followed one: do not give it one. The client's own errors are not passed on, since they carry the request.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerTransport: Layer.Layer<Transport.Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport.Transport,
  Effect.map(HttpClient.HttpClient, (httpClient) => {
    const client = httpClient.pipe(
      HttpClient.withTracerPropagation(false),
      HttpClient.withTracerDisabledWhen(() => true)
    )
    return Transport.make(({ body, headers, method, url }) =>
      Effect.try({
        try: () => {
          const request = HttpClientRequest.setHeaders(HttpClientRequest.make(method)(url), headers)
          return body === undefined ? request : HttpClientRequest.bodyUint8Array(request, Transport.bytesOf(body), headers["Content-Type"])
        },
        catch: Transport.connectionError
      }).pipe(
        Effect.flatMap(client.execute),
        Effect.provideService(FetchHttpClient.RequestInit, Transport.strictFetch),
        // a client may have been told to fail on a status: here its class tells more
        Effect.catchTag("ResponseError", ({ response }) => Effect.succeed(response)),
        Effect.mapError(Transport.connectionError),
        Effect.filterOrFail(
          (response) => response.request.url === url,
          () => new SecurityError({ reason: "redirect", message: "The HttpClient followed a redirect, which is not allowed" })
        ),
        Effect.map((response) => ({
          status: response.status,
          header: (name: string) => response.headers[name],
          body: Stream.toAsyncIterable(response.stream)
        }))
      )
    )
  })
)

/**
 * The `fetch` of an `HttpClient` that speaks OpenAI's chat completions: calls to `BASE_URL` of
 * `nomyo-js/fetch` go through the `NomyoClient`, encrypted, and no others leave. It is `createFetch` of that
 * module. Provide it to what uses `FetchHttpClient.layer`.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerFetch = (
  options: FetchOptions = {}
): Layer.Layer<FetchHttpClient.Fetch, never, NomyoClient> =>
  Layer.effect(
    FetchHttpClient.Fetch,
    Effect.gen(function*() {
      const client = yield* NomyoClient
      const run = Runtime.runPromiseExit(yield* Effect.runtime<never>())
      return createFetch({
        create: async (request, { maxRetries, signal, timeout }) => {
          const answer = client.create(request as ChatCompletionRequest, { timeout, maxRetries })
          const exit = await run(answer, signal === undefined ? {} : { signal })
          if (Exit.isSuccess(exit)) return exit.value
          throw Cause.squash(exit.cause)
        }
      }, options)
    })
  )
