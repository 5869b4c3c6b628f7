import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as NodeCrypto from "../platform/node/NodeCrypto.js"
import * as NodeSecureMemory from "../platform/node/NodeSecureMemory.js"
import * as Model from "../router/Model.js"
import * as Router from "../router/Router.js"
import { withPage } from "./page.js"
import { serve } from "./serve.js"
import { out, withSpinner } from "./terminal.js"

const options = {
  port: Options.integer("port").pipe(
    Options.withDefault(12435),
    Options.withDescription("The port to listen on; 0 is any free one")
  ),
  host: Options.text("host").pipe(
    Options.withDefault("127.0.0.1"),
    Options.withDescription("The address to listen on")
  ),
  apiKey: Options.redacted("api-key").pipe(
    Options.optional,
    Options.withDescription("The API key that clients must send")
  ),
  rateLimit: Options.boolean("rate-limit").pipe(
    Options.withDescription("Refuse requests beyond the service's limit: 2 in a second, and up to 4 in one second out of ten")
  ),
  upstream: Options.text("upstream").pipe(
    Options.optional,
    Options.withDescription("An OpenAI-compatible server that answers, in place of the echo model")
  ),
  upstreamApiKey: Options.redacted("upstream-api-key").pipe(
    Options.optional,
    Options.withDescription("The API key to send to the upstream server")
  )
}

/** `nomyo router`: serves the protocol until it is told to stop. */
export const router = Command.make("router", options, ({ apiKey, host, port, rateLimit, upstream, upstreamApiKey }) =>
  Effect.gen(function*() {
    const model = Option.isNone(upstream)
      ? yield* Model.makeEcho
      : yield* Model.makeUpstream({ url: upstream.value, apiKey: Option.getOrUndefined(upstreamApiKey) })
    const app = yield* withSpinner("Making the router's key pair")(
      Router.make({ model, apiKey: Option.getOrUndefined(apiKey), rateLimit })
    )
    const url = yield* serve(HttpMiddleware.logger(withPage(app)), { host, port })
    yield* out(`listening on ${url}`)
    return yield* Effect.never
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(Layer.provideMerge(NodeCrypto.layer, NodeSecureMemory.layer), FetchHttpClient.layer)))).pipe(
  Command.withDescription("Serve the NOMYO protocol for development, with an echo model or in front of an OpenAI-compatible server; at / is a page to chat with it")
)
