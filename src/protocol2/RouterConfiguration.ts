import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Cached, makeCached } from "../internal/cached.js"
import * as Base64 from "../internal/codecs/base64.js"
import * as Bytes from "../internal/codecs/bytes.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { SecurityError } from "../NomyoError.js"
import { type Opened, Transport, type TransportError } from "../Transport.js"
import * as Hpke from "./Hpke.js"
import * as KeyConfiguration from "./KeyConfiguration.js"
import * as ObliviousHttp from "./ObliviousHttp.js"
import { asUnauthenticated } from "./outerError.js"
import { Primitives } from "./Primitives.js"

/** The key configuration of one router: fetched when it is needed, and kept for `routerKeyTtl`. */
export type RouterConfiguration = Cached<KeyConfiguration.KeyConfiguration, TransportError>

/** The KEMs that this client has, the preferred one first. */
const kemIds = [Hpke.x25519.id]

const unusable = (message: string) => new SecurityError({ reason: "router-key", message })

const readAll = Effect.fnUntraced(function*({ pull }: Opened) {
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  for (let next = yield* pull; next !== undefined; next = yield* pull) parts.push(next)
  return Bytes.concat(parts)
})

const fetchList = Effect.fnUntraced(function*(baseUrl: string) {
  const transport = yield* Transport
  const opened = yield* transport.open({
    method: "GET",
    url: `${baseUrl}${ObliviousHttp.gatewayPath}`,
    headers: {},
    maxResponseBytes: KeyConfiguration.MAX_LIST_LENGTH
  })
  if (opened.header("content-type") !== KeyConfiguration.mediaType) {
    const message = "The router offers no keys for protocol 2. Check baseUrl, or set protocol to 1"
    return yield* Effect.fail(unusable(message))
  }
  return yield* readAll(opened)
}, Effect.scoped, Effect.mapError(asUnauthenticated))

const decodeList = (base64: string) => {
  const list = Base64.decodePublic(base64.trim())
  return list === undefined
    ? Effect.fail(unusable("routerKeyConfig must be base64, as the router prints it"))
    : Effect.succeed(list)
}

/** The key configuration of the router at `baseUrl`, until the scope closes. */
export const make = (
  { routerKeyConfig, routerKeyConfigFingerprints, ...times }: NomyoConfig,
  baseUrl: string
): Effect.Effect<RouterConfiguration, never, Transport | Primitives | Scope.Scope> =>
  Effect.flatMap(Effect.context<Transport | Primitives>(), (all) => {
    const context = Context.pick(Transport, Primitives)(all)
    const list = routerKeyConfig === undefined ? fetchList(baseUrl) : decodeList(routerKeyConfig)
    const chosen = Effect.flatMap(list, (bytes) =>
      KeyConfiguration.choose(bytes, kemIds, routerKeyConfigFingerprints))
    return makeCached<KeyConfiguration.KeyConfiguration, TransportError>(Effect.provide(chosen, context),
      times)
  })
