/**
 * Protocol 1.0: RSA and AES, with a key pair of the client. The router sends whole answers.
 *
 * @since 0.3.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto } from "./Crypto.js"
import { attempt, type AttemptDependencies } from "./internal/attempt.js"
import { wholeChunks } from "./internal/wholeChunks.js"
import { KeyRing } from "./KeyRing.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import * as Protocol from "./Protocol.js"
import * as RouterKey from "./RouterKey.js"
import { Transport } from "./Transport.js"

type Needs = Crypto | Transport

const routerOf = (dependencies: AttemptDependencies): Protocol.Router => {
  const create: Protocol.Router["create"] = (request, limits) => attempt(dependencies, request, limits)
  return { create, stream: (request, limits) => Effect.map(create(request, limits), wholeChunks) }
}

const make = Effect.fnUntraced(function*(
  config: NomyoConfig
): Effect.fn.Return<Protocol.Service, never, Needs | KeyRing | RouterKey.RouterKey> {
  // these services and nothing else of the context, such as the span in which the client is made
  const context = Context.pick(Crypto, Transport)(yield* Effect.context<Needs>())
  const shared = {
    crypto: yield* Crypto,
    keyRing: yield* KeyRing,
    transport: yield* Transport,
    maxResponseBytes: config.maxResponseBytes
  }
  const routerAt = (baseUrl: string) =>
    RouterKey.make({ ...config, baseUrl }).pipe(
      Effect.map((routerKey) => routerOf({ ...shared, baseUrl, routerKey })),
      Effect.provide(context)
    )
  const routerKey = yield* RouterKey.RouterKey
  return { streams: false, router: routerOf({ ...shared, baseUrl: config.baseUrl, routerKey }), routerAt }
})

/**
 * Provides `Protocol` as protocol 1.0. `NomyoClient.layerParts` includes this layer.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer = (
  config: NomyoConfig
): Layer.Layer<Protocol.Protocol, never, Needs | KeyRing | RouterKey.RouterKey> =>
  Layer.effect(Protocol.Protocol, make(config))
