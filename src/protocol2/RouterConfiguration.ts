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
  /** The time that the router lets clients keep its list, in milliseconds. */
  readonly maxAge: number
}

/** The key configuration of one router: fetched when it is needed, and kept for `routerKeyTtl`. */
export type RouterConfiguration = Cached<RecipientKey, TransportError>

const unusable = (message: string) => new SecurityError({ reason: "router-key", message })

const readAll = Effect.fnUntraced(function*({ pull }: Opened) {
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  for (let next = yield* pull; next !== undefined; next = yield* pull) parts.push(next.slice())
  return Bytes.concat(parts)
})

/** `max-age` (RFC 9111, 5.2.2.1). A list without it stays for `routerKeyTtl`. */
const maxAgeOf = ({ header }: Opened): number => {
  const [, seconds] = /(?:^|,)\s*max-age\s*=\s*"?(\d+)/i.exec(header("cache-control") ?? "") ?? []
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000
}

// an attacker can cause this: it must not advise the other protocol
const noKeys = () =>
  unusable("The router offers no keys for protocol 2. Check baseUrl, and that the router speaks protocol 2")

/** The failure of a fetch. A router of protocol 1.0 alone has no such path. */
const unfetched = (error: TransportError): TransportError =>
  "statusCode" in error && [404, 405].includes(error.statusCode) ? noKeys() : asUnauthenticated(error)

const fetchList = Effect.fnUntraced(function*(baseUrl: string) {
  const transport = yield* Transport
  const opened = yield* transport.open({
    method: "GET",
    url: `${baseUrl}${ObliviousHttp.gatewayPath}`,
    headers: {},
    maxResponseBytes: KeyConfiguration.MAX_LIST_LENGTH
  })
  if (opened.header("content-type") !== KeyConfiguration.mediaType) return yield* Effect.fail(noKeys())
  return { list: yield* readAll(opened), maxAge: maxAgeOf(opened) }
}, Effect.scoped, Effect.mapError(unfetched))

const decodeList = (base64: string) => {
  const list = Base64.decodePublic(base64.trim())
  return list === undefined
    ? Effect.fail(unusable("routerKeyConfig must be the router's list of key configurations, in base64"))
    : Effect.succeed({ list, maxAge: Number.POSITIVE_INFINITY })
}

/** A router's list, and how long it may be kept. */
interface Published {
  readonly list: Uint8Array<ArrayBuffer>
  readonly maxAge: number
}

/** The configuration of a list that this client uses. */
const choose = Effect.fnUntraced(function*({ list, maxAge }: Published, config: NomyoConfig) {
  const kems = yield* kemsOf(config)
  const kemIds = kems.map(({ id }) => id)
  const chosen = yield* KeyConfiguration.choose(list, kemIds, config.routerKeyConfigFingerprints)
  return { ...chosen, kem: kems.find(({ id }) => id === chosen.kemId)!, maxAge } satisfies RecipientKey
})

/** The key configuration of the router at `baseUrl`, until the scope closes. */
export const make = (
  config: NomyoConfig,
  baseUrl: string
): Effect.Effect<RouterConfiguration, never, Transport | Primitives | Scope.Scope> =>
  Effect.flatMap(Effect.context<Transport | Primitives>(), (all) => {
    const context = Context.pick(Transport, Primitives)(all)
    const { routerKeyConfig } = config
    const published = routerKeyConfig === undefined ? fetchList(baseUrl) : decodeList(routerKeyConfig)
    const chosen = Effect.flatMap(published, (list) => choose(list, config))
    return makeCached<RecipientKey, TransportError>(Effect.provide(chosen, context), config,
      ({ maxAge }) => maxAge)
  })
