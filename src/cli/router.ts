import * as Command from "@effect/cli/Command"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Path from "node:path"
import type { PublicKey } from "../Crypto.js"
import * as KeyStore from "../KeyStore.js"
import * as GatewayKeyFiles from "../platform/node/gatewayKeyFiles.js"
import * as NodeCrypto from "../platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../platform/node/NodeKeyStore.js"
import * as NodePrimitives from "../platform/node/NodePrimitives.js"
import * as NodeSecureMemory from "../platform/node/NodeSecureMemory.js"
import * as EchoModel from "../router/EchoModel.js"
import * as GatewayKeys from "../router/GatewayKeys.js"
import * as Model from "../router/Model.js"
import * as ReplayStore from "../router/ReplayStore.js"
import * as Router from "../router/Router.js"
import * as RouterKeys from "../router/RouterKeys.js"
import * as UpstreamModel from "../router/UpstreamModel.js"
import * as Log from "./log.js"
import { pageAt, type PageData, withPage } from "./page.js"
import { withRequestLog } from "./requestLog.js"
import { guarded } from "./routerGuard.js"
import { type Options, options } from "./routerOptions.js"
import { checkStdin, secret, secrets } from "./secretFile.js"
import { serve } from "./serve.js"
import { isLoopback, localUrl, readTls } from "./serverOptions.js"
import { out, plain, withSpinner } from "./terminal.js"

/** The model, its offer, and its name in the banner. */
interface Backend {
  readonly model: Model.Model
  readonly models: Model.Models
  readonly name: string
  /** A model to try first. */
  readonly first: string
}

const echo = Effect.gen(function*() {
  const [first = ""] = yield* EchoModel.models
  const name = "echo, which repeats the prompt; --upstream names a model server"
  const backend: Backend = { model: yield* Model.makeEcho, models: EchoModel.models, name, first }
  return Effect.succeed(backend)
})

/**
 * Fails for a URL that cannot be one. What it gives asks the server for its models, and warns where that
 * fails.
 */
const makeUpstream = Effect.fnUntraced(function*(given: string, keyFile: Option.Option<string>) {
  const key = yield* secret(keyFile, "NOMYO_UPSTREAM_API_KEY")
  const { model, models, probe, url } = yield* UpstreamModel.make({ url: given, apiKey: key?.token })
  return Effect.gen(function*() {
    const { ids, warnings } = yield* probe
    yield* Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true })
    const [first = ""] = ids
    const name = first === "" ? url : `${url} (${ids.length} model${ids.length === 1 ? "" : "s"})`
    const backend: Backend = { model, models, name, first }
    return backend
  })
})

/** The folder of a key directory for the pair that was published before the current one. */
const REPLACED = "replaced"

/** The pair of a directory, and beside it the one that it has replaced. */
const keptKeys = Effect.fnUntraced(function*(dir: string, options: RouterKeys.Options) {
  const store = (keyDir: string) => Layer.build(NodeKeyStore.layer({ keyDir }))
  const replaced = Context.get(yield* store(Path.join(dir, REPLACED)), KeyStore.KeyStore)
  return yield* Effect.provide(RouterKeys.make({ ...options, replaced }), yield* store(dir))
})

/** The pair of `--key-dir`, or a new one that is kept nowhere. */
const makeKeys = ({ keyDir, keyRotationInterval }: Options) => {
  const options = { rotationInterval: Option.getOrUndefined(keyRotationInterval) }
  return Option.match(keyDir, {
    onNone: () => Effect.provide(RouterKeys.make(options), KeyStore.layerMemory),
    onSome: (dir) => keptKeys(dir, options)
  })
}

/** The router's data for the page. */
const pageData = (protocol: Options["protocol"]): PageData => (path) =>
  path === "/page.json"
    ? Effect.succeed(
      HttpServerResponse.unsafeJson({ server: "router", protocol: Option.getOrElse(protocol, () => 1) })
    )
    : undefined

/** Keys of protocol 2, in `--key-dir` or kept nowhere, and a memory of answered requests. */
const makeGateway = Effect.fnUntraced(
  function*({ authority, keyDir, keyRotationInterval, keysAhead, postQuantum }: Options) {
    const keys = yield* GatewayKeys.make({
      keysAhead,
      postQuantum,
      life: Option.getOrUndefined(keyRotationInterval),
      storage: Option.match(keyDir, { onNone: () => GatewayKeys.inMemory, onSome: GatewayKeyFiles.make })
    })
    // keys are replaced and erased when they are asked for
    yield* Effect.forkScoped(Effect.schedule(Effect.ignoreLogged(keys.list), Schedule.spaced("1 minute")))
    const authorities = authority.length === 0 ? undefined : authority.map((name) => name.toLowerCase())
    return { keys, replayStore: yield* ReplayStore.makeMemory(), authorities }
  }
)

/** Said before anybody can come in. */
const warnOfStrangers = ({ host, upstream }: Options, apiKeys: ReadonlyArray<Router.ApiKey>) =>
  isLoopback(host) || apiKeys.length > 0
    ? Effect.void
    : Effect.logWarning(
      `ANYONE who reaches ${host} can use this router` +
        (Option.isSome(upstream) ? ", and the model server and its API key behind it" : "") +
        ": set NOMYO_ROUTER_API_KEY or --api-key-file, or listen on 127.0.0.1"
    )

/** Fingerprints of keys: of the one in use, then of the next ones. */
const printPins = (name: string, pins: ReadonlyArray<string>) =>
  Effect.forEach(pins, (pin, i) => out(`  ${(i === 0 ? name : `${name}, next`).padEnd(20)}${pin}`), {
    discard: true
  })

const printBanner = Effect.fnUntraced(function*(
  url: string,
  { hybridPins, needsKey, options, pins, publicKey }: {
    readonly publicKey: PublicKey
    /** Fingerprints of protocol 2: of the key in use, then of the next ones. */
    readonly pins: ReadonlyArray<string>
    /** The same of the post-quantum keys. */
    readonly hybridPins: ReadonlyArray<string>
    readonly options: Options
    readonly needsKey: boolean
  },
  { first, name }: Backend
) {
  const local = localUrl(url)
  const environment = [
    `NOMYO_BASE_URL=${local}`,
    ...(options.tlsCert._tag === "None" ? ["NOMYO_ALLOW_HTTP=true"] : []),
    ...(options.protocol._tag === "None" ? [] : ["NOMYO_PROTOCOL=2"]),
    ...(needsKey ? ["NOMYO_API_KEY=…"] : [])
  ]
  yield* out(`listening on ${url}`)
  yield* out(`page         ${local}/`)
  yield* out(`key          ${Option.match(options.keyDir, {
    onNone: () => "new, and gone when the router stops; --key-dir keeps it",
    onSome: (dir) => `kept in ${dir}`
  })}`)
  yield* out(`model        ${plain(name)}`)
  yield* out("fingerprints of the keys, for clients to pin:")
  if (options.protocol._tag === "None") yield* printPins("protocol 1.0", [publicKey.fingerprint])
  yield* printPins("protocol 2", pins)
  yield* printPins("post-quantum", hybridPins)
  const command = `npx nomyo-js chat --model ${plain(first || "MODEL")} "Hello!"`
  yield* out(`try          ${environment.join(" ")} ${command}`)
})

const run = Effect.fnUntraced(function*(given: Options) {
  const tls = yield* readTls(given)
  const apiKeys = yield* secrets(given.apiKeyFile, "NOMYO_ROUTER_API_KEY")
  yield* warnOfStrangers(given, apiKeys)
  const starting = yield* Option.match(given.upstream, {
    onNone: () => echo,
    onSome: (url) => makeUpstream(url, given.upstreamApiKeyFile)
  })
  const [backend, keys] = yield* withSpinner("Making ready")(
    Effect.all([starting, makeKeys(given)], { concurrency: 2 })
  )
  const { model, models } = backend
  const gateway = yield* makeGateway(given)
  const app = yield* Router.make({
    model,
    models,
    keys,
    apiKeys,
    rateLimit: given.rateLimit,
    protocol: Option.getOrUndefined(given.protocol),
    gateway,
    padding: !given.noPadding,
    flush: given.flush
  })
  const guardedApp = withRequestLog(guarded(given, tls !== undefined)(
    withPage((path) => pageAt(path, pageData(given.protocol)), app)
  ))
  const url = yield* serve(guardedApp, { host: given.host, port: given.port, tls, drain: given.drain })
  const needsKey = apiKeys.length > 0
  const banner = {
    publicKey: keys.publicKey(),
    pins: yield* gateway.keys.fingerprints,
    hybridPins: yield* gateway.keys.postQuantumFingerprints,
    options: given,
    needsKey
  }
  yield* printBanner(url, banner, backend)
  return yield* Effect.never
}, Effect.scoped)

const checked = (given: Options) =>
  Effect.zipRight(
    checkStdin({ "--api-key-file": given.apiKeyFile, "--upstream-api-key-file": given.upstreamApiKeyFile }),
    run(given)
  )

/** On `node:http`, which sets no time limit: the client's `timeout` decides how long an answer may take. */
const layerHttpClient = Layer.provide(
  NodeHttpClient.layerWithoutAgent,
  NodeHttpClient.makeAgentLayer({ keepAlive: true, timeout: Duration.toMillis("4 seconds") })
)

const platform = Layer.mergeAll(
  Layer.provideMerge(NodeCrypto.layer, NodeSecureMemory.layer),
  NodePrimitives.layer,
  layerHttpClient
)

/** `nomyo router`: serves the protocol until it is stopped. */
export const router = Command.make("router", options, (given) =>
  Effect.provide(checked(given), Layer.merge(platform, Log.layer(given.logFormat)))).pipe(
  Command.withDescription(
    "Serve an encrypted endpoint in front of an OpenAI-compatible model server, or with an echo model. " +
      "At / is a chat page. API keys come from NOMYO_ROUTER_API_KEY and NOMYO_UPSTREAM_API_KEY, or from files"
  )
)
