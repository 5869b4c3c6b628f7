import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Cached, makeCached } from "../internal/cached.js"
import * as Base64 from "../internal/codecs/base64.js"
import * as Bytes from "../internal/codecs/bytes.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { SecurityError } from "../NomyoError.js"
import { type Opened, Transport, type TransportError } from "../Transport.js"
import { kemsOf, type SenderKem } from "./kems.js"
import * as KeyConfiguration from "./KeyConfiguration.js"
import * as ObliviousHttp from "./ObliviousHttp.js"
import { asUnauthenticated } from "./outerError.js"
import { Primitives } from "./Primitives.js"

/** A key configuration, and the KEM that seals to it. */
export interface RecipientKey extends KeyConfiguration.KeyConfiguration {
  readonly kem: SenderKem
}

/** The key configuration of one router: fetched when it is needed, and kept for `routerKeyTtl`. */
export type RouterConfiguration = Cached<RecipientKey, TransportError>

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

/** The configuration of a list that this client uses. */
const choose = Effect.fnUntraced(function*(list: Uint8Array<ArrayBuffer>, config: NomyoConfig) {
  const kems = yield* kemsOf(config)
  const kemIds = kems.map(({ id }) => id)
  const chosen = yield* KeyConfiguration.choose(list, kemIds, config.routerKeyConfigFingerprints)
  return { ...chosen, kem: kems.find(({ id }) => id === chosen.kemId)! } satisfies RecipientKey
})

/** The key configuration of the router at `baseUrl`, until the scope closes. */
export const make = (
  config: NomyoConfig,
  baseUrl: string
): Effect.Effect<RouterConfiguration, never, Transport | Primitives | Scope.Scope> =>
  Effect.flatMap(Effect.context<Transport | Primitives>(), (all) => {
    const context = Context.pick(Transport, Primitives)(all)
    const { routerKeyConfig } = config
    const list = routerKeyConfig === undefined ? fetchList(baseUrl) : decodeList(routerKeyConfig)
    const chosen = Effect.flatMap(list, (bytes) => choose(bytes, config))
    return makeCached<RecipientKey, TransportError>(Effect.provide(chosen, context), config)
  })
