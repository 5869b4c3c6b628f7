/** The page of a proxy, and what it shows of the proxy: its keys, and what it has sent. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { errorResponse } from "../gateway/respond.js"
import { makeTokens, type Token } from "../internal/httpGuard.js"
import { KeyRing } from "../KeyRing.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { answerOf, Refusal } from "../openai/errors.js"
import * as NodePrimitives from "../platform/node/NodePrimitives.js"
import * as RouterConfiguration from "../protocol2/RouterConfiguration.js"
import { RouterKey } from "../RouterKey.js"
import { capturing, type Exchanges } from "./exchanges.js"
import { type App, type PageData, pageAt, withPage } from "./page.js"
import { withRequestLog } from "./requestLog.js"

/** Files of the page. */
export interface Options {
  readonly config: NomyoConfig
  readonly tokens: ReadonlyArray<Token>
  /** Where the client's key pair is kept, in words. */
  readonly keyPlace: string
  readonly exchanges: Exchanges
  /** The guards of the server. */
  readonly guarded: <E, R>(app: HttpApp.Default<E, R>) => HttpApp.Default<E, R>
}

const json = (value: object) =>
  HttpServerResponse.unsafeJson(value, { headers: { "cache-control": "no-store" } })

/** Where protocol 2 keeps the router's key. It has no key of the client that lasts. */
const configurationOf = (config: NomyoConfig) =>
  Effect.provide(RouterConfiguration.make(config, config.baseUrl), NodePrimitives.layer)

/** Both keys as the page shows them. */
const readKeys = Effect.fnUntraced(function*(
  { protocol, routerKeyConfigFingerprints, routerKeyFingerprints }: NomyoConfig,
  place: string,
  configuration: RouterConfiguration.RouterConfiguration
) {
  if (protocol === 2) {
    const { key: { fingerprint } } = yield* configuration.get
    return { router: { fingerprint, isPinned: routerKeyConfigFingerprints.length > 0 } }
  }
  const own = yield* Effect.flatMap(KeyRing, ({ lease }) =>
    lease(({ createdAt, publicKey: { fingerprint, modulusLength: bits } }) =>
      Effect.succeed({ fingerprint, bits, createdAt, place })))
  const { key: { fingerprint } } = yield* Effect.flatMap(RouterKey, ({ get }) => get)
  return { own, router: { fingerprint, isPinned: routerKeyFingerprints.length > 0 } }
})

const WITHOUT_TOKEN = "The proxy's token is missing or not valid: enter it in the page"
const unauthorized = () => new Refusal(401, "invalid_api_key", WITHOUT_TOKEN).answer

/** Keys are shown to those whom the proxy serves. */
const keysApp = Effect.fnUntraced(function*({ config, keyPlace, tokens }: Options) {
  const find = yield* makeTokens(tokens)
  const context = yield* Effect.context<KeyRing | RouterKey>()
  const configuration = yield* configurationOf(config)
  return Effect.gen(function*() {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    const isAllowed = tokens.length === 0 || (yield* find(headers["authorization"])) !== undefined
    if (!isAllowed) return errorResponse(unauthorized())
    return yield* Effect.match(readKeys(config, keyPlace, configuration), {
      onFailure: (error) => errorResponse(answerOf(error)),
      onSuccess: json
    })
  }).pipe(Effect.provide(context))
})

/** The variables that pin the router's key, by the protocol. */
const PIN_VARIABLES = {
  1: "NOMYO_ROUTER_KEY_FINGERPRINTS",
  2: "NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS"
} as const

const EXCHANGE = /^\/page\/exchanges\/([\w-]{36})$/

/** The page chose the id at random: nobody else can ask for it. */
const exchangeApp = ({ find }: Exchanges, id: string) =>
  Effect.map(find(id), Option.match({
    onNone: () => HttpServerResponse.empty({ status: 204 }),
    onSome: json
  }))

/** `/` is the proxy's status for tools, and the page for browsers. */
const rootApp = (page: App, app: App): App =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    headers["accept"]?.includes("text/html") === true ? page : app)

/** Serves the page in front of a gateway, and captures what the gateway sends for it. */
export const withProxyPage = Effect.fnUntraced(function*(
  options: Options,
  gateway: App
) {
  const { config, exchanges, guarded, tokens } = options
  const keys = yield* keysApp(options)
  const about = { server: "proxy", router: config.baseUrl, needsToken: tokens.length > 0,
    pinVariable: PIN_VARIABLES[config.protocol] }
  const data: PageData = (path) => {
    if (path === "/page.json") return Effect.succeed(json(about))
    if (path === "/page/keys") return keys
    const [, id] = EXCHANGE.exec(path) ?? []
    return id === undefined ? undefined : exchangeApp(exchanges, id)
  }
  const app = capturing(gateway)
  return withPage((path) => {
    const found = pageAt(path, data)
    if (found === undefined) return undefined
    const logged = withRequestLog(guarded(found))
    return path === "/" ? rootApp(logged, app) : logged
  }, app)
})
