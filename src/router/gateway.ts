/** The paths of protocol 2 in a router. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SecurityError } from "../NomyoError.js"
import { gatewayPath } from "../protocol2/ObliviousHttp.js"
import { Primitives } from "../protocol2/Primitives.js"
import * as WebPrimitives from "../protocol2/WebPrimitives.js"
import type { SecureMemory } from "../SecureMemory.js"
import { completeSealed } from "./completeSealed.js"
import * as GatewayKeys from "./GatewayKeys.js"
import type { Model } from "./Model.js"
import * as ObliviousGateway from "./ObliviousGateway.js"
import * as ReplayStore from "./ReplayStore.js"

/** A router's keys of protocol 2, and its memory of answered requests. */
export interface Gateway {
  readonly keys: GatewayKeys.Service
  readonly replayStore: ReplayStore.Service
  /**
   * Host names of the router, as `host` or `host:port`. It refuses requests for another host. Default: any
   * host.
   */
  readonly authorities?: ReadonlyArray<string> | undefined
}

const fresh = Effect.all({ keys: GatewayKeys.make(), replayStore: ReplayStore.makeMemory() })

/** Runs with the `Primitives` of the context, or with those of WebCrypto. */
const withPrimitives = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.serviceOption(Primitives), Option.match({
    onNone: () => Effect.provide(effect, WebPrimitives.layer),
    onSome: (primitives) => Effect.provideService(effect, Primitives, primitives)
  }))

interface Options extends Pick<ObliviousGateway.Options, "authorize" | "flush" | "padding"> {
  readonly model: Model
}

/** Adds the paths of protocol 2 to a router. */
export const withGateway = Effect.fnUntraced(function*<E, R>(
  router: HttpRouter.HttpRouter<E, R>,
  given: Gateway | undefined,
  { model, ...options }: Options
): Effect.fn.Return<HttpRouter.HttpRouter<E, R>, SecurityError, SecureMemory> {
  const gateway = given ?? (yield* withPrimitives(fresh))
  const app = yield* withPrimitives(
    ObliviousGateway.make({ ...gateway, ...options, answer: completeSealed(model) })
  )
  return router.pipe(
    HttpRouter.get(gatewayPath, ObliviousGateway.serveKeys(gateway.keys)),
    HttpRouter.post(gatewayPath, app)
  ) as HttpRouter.HttpRouter<E, R>
})
