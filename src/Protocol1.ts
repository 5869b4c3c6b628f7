/**
 * Protocol 1.0: a hybrid of RSA and AES, with a key pair of the client's own. An answer comes whole.
 *
 * @since 0.3.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto } from "./Crypto.js"
import { attempt } from "./internal/attempt.js"
import { wholeChunks } from "./internal/wholeChunks.js"
import { KeyRing } from "./KeyRing.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import * as Protocol from "./Protocol.js"
import * as RouterKey from "./RouterKey.js"
import { SecureMemory } from "./SecureMemory.js"
import { Transport } from "./Transport.js"

type Needs = Crypto | Transport | SecureMemory

const make = (config: NomyoConfig): Effect.Effect<
  Protocol.Service,
  never,
  Needs | KeyRing | RouterKey.RouterKey
> =>
  Effect.gen(function*() {
    // these services and nothing else of the context, such as the span in which the client is made
    const context = Context.pick(Crypto, Transport, SecureMemory)(yield* Effect.context<Needs>())
    const keyRing = yield* KeyRing
    const transport = yield* Transport
    const { maxResponseBytes } = config
    const routerOf = (baseUrl: string, routerKey: RouterKey.Service): Protocol.Router => {
      const dependencies = { baseUrl, routerKey, keyRing, transport, maxResponseBytes }
      const create: Protocol.Router["create"] = (request, turn) =>
        Effect.provide(attempt(dependencies, request, turn), context)
      return { create, stream: (request, turn) => Effect.map(create(request, turn), wholeChunks) }
    }
    return {
      router: routerOf(config.baseUrl, yield* RouterKey.RouterKey),
      routerAt: (baseUrl) =>
        Effect.map(Effect.provide(RouterKey.make({ ...config, baseUrl }), context), (routerKey) =>
          routerOf(baseUrl, routerKey))
    }
  })

/**
 * Protocol 1.0 of a client: `NomyoClient.layerParts` includes it.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer = (
  config: NomyoConfig
): Layer.Layer<Protocol.Protocol, never, Needs | KeyRing | RouterKey.RouterKey> =>
  Layer.effect(Protocol.Protocol, make(config))
