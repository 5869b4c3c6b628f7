/** Checks of the router, from its address to its key. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Https from "node:https"
import type { TLSSocket } from "node:tls"
import { httpWarning } from "../../internal/httpWarning.js"
import { ONLY_PROTOCOL_2 } from "../../internal/statusMessage.js"
import type { NomyoConfig } from "../../NomyoConfig.js"
import * as NodePrimitives from "../../platform/node/NodePrimitives.js"
import { X_WING_ID } from "../../protocol2/kems.js"
import * as RouterConfiguration from "../../protocol2/RouterConfiguration.js"
import * as RouterKey from "../../RouterKey.js"
import { describe } from "../errors.js"
import { isLoopback } from "../serverOptions.js"
import { type Finding, findings } from "./finding.js"

/** How long the router may take to answer, in milliseconds. */
const TIMEOUT = 10_000
/** How far the clocks may differ, in milliseconds. */
const TOLERANCE = 60_000
/** How long before its end a certificate is worth a warning. */
const EXPIRES_SOON = Duration.toMillis(Duration.days(14))

/** Facts about the router's certificate. */
interface Certificate {
  /** OpenSSL's or Node's code; `undefined` if the certificate is trusted. */
  readonly problem: string | undefined
  readonly validUntil: number
  readonly version: string
}

/** Facts about a router's answer, whatever its content. */
interface Answer {
  readonly date: string | undefined
  readonly certificate: Certificate | undefined
}

const certificateOf = (socket: TLSSocket): Certificate => ({
  // Node's types call it an Error, and it is a code
  problem: socket.authorized ? undefined : String(socket.authorizationError),
  validUntil: Date.parse(socket.getPeerCertificate().valid_to),
  version: socket.getProtocol() ?? "TLS"
})

/** Asks for the router's key, and takes any certificate: nothing is sent, and no body is believed. */
const probe = ({ baseUrl }: NomyoConfig): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const url = new URL(`${baseUrl}/pki/public_key`)
    const isTls = url.protocol === "https:"
    const options = { agent: false, timeout: TIMEOUT, rejectUnauthorized: false }
    const request = isTls ? Https.get(url, options) : Http.get(url, options)
    request.on("error", reject)
    request.on("timeout", () => request.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })))
    request.on("response", ({ headers, socket }) => {
      resolve({ date: headers.date, certificate: isTls ? certificateOf(socket as TLSSocket) : undefined })
      request.destroy()
    })
  })

const WHERE = "check --base-url or NOMYO_BASE_URL, and that the router is running"

const REASONS: { readonly [code: string]: string } = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "the host does not exist",
  EAI_AGAIN: "the name cannot be looked up now",
  ETIMEDOUT: "it does not answer in 10 seconds",
  EPROTO: "it does not speak TLS",
  HPE_INVALID_CONSTANT: "it does not speak HTTP"
}

const unreachable = ({ baseUrl }: NomyoConfig, error: unknown): Finding => {
  const code = String((error as NodeJS.ErrnoException).code ?? "no code")
  const reason = REASONS[code] ?? "no answer"
  return findings("router").fail(`${baseUrl} cannot be reached: ${reason} (${code})`, WHERE)
}

const pinsOf = (config: NomyoConfig): ReadonlyArray<string> =>
  config.protocol === 2 ? config.routerKeyConfigFingerprints : config.routerKeyFingerprints

const checkPlainHttp = (config: NomyoConfig): Finding => {
  const { fail, warn } = findings("tls")
  const isPinned = pinsOf(config).length > 0
  const what = httpWarning(config.baseUrl, isPinned) ?? ""
  const isSafeEnough = isPinned || isLoopback(new URL(config.baseUrl).hostname)
  return (isSafeEnough ? warn : fail)(what, "use an https:// URL outside development")
}

const CERTIFICATES: { readonly [code: string]: string } = {
  CERT_HAS_EXPIRED: "renew it on the router, and check this machine's clock",
  CERT_NOT_YET_VALID: "check this machine's clock",
  ERR_TLS_CERT_ALTNAME_INVALID: "use the host name that the certificate is for in --base-url"
}

const checkCertificate = ({ problem, validUntil, version }: Certificate, now: number): Finding => {
  const { fail, pass, warn } = findings("tls")
  if (problem !== undefined) {
    const todo = CERTIFICATES[problem] ??
      "start Node with NODE_EXTRA_CA_CERTS=/path/to/ca.pem if the authority is your own"
    return fail(`The router's certificate is not trusted (${problem})`, todo)
  }
  const end = new Date(validUntil).toISOString().slice(0, 10)
  return validUntil - now < EXPIRES_SOON
    ? warn(`The router's certificate ends on ${end}`, "renew it on the router")
    : pass(`${version}, with a trusted certificate until ${end}`)
}

const checkClock = ({ date }: Answer, now: number): Finding => {
  const { fail, pass, warn } = findings("clock")
  const theirs = Date.parse(date ?? "")
  if (Number.isNaN(theirs)) {
    return warn("The router sends no date", "compare its clock with this machine's")
  }
  const seconds = Math.round(Math.abs(theirs - now) / 1000)
  return Math.abs(theirs - now) <= TOLERANCE
    ? pass(`The clocks of this machine and of the router differ by ${seconds} s`)
    : fail(
      `This machine's clock is ${seconds} s ${theirs < now ? "ahead of" : "behind"} the router's`,
      "set the clock, such as with timedatectl set-ntp true"
    )
}

/** The key that the router publishes, whether it is pinned or not. */
const fetchKey = (config: NomyoConfig) => {
  if (config.protocol === 1) {
    return Effect.flatMap(RouterKey.make({ ...config, routerKeyFingerprints: [] }), ({ get }) =>
      Effect.map(get, ({ key: { fingerprint, modulusLength } }) =>
        ({ fingerprint, kind: `RSA, ${modulusLength} bits` })))
  }
  const fetched = (config: NomyoConfig) =>
    Effect.flatMap(RouterConfiguration.make(config, config.baseUrl), ({ get }) =>
      Effect.map(get, ({ key: { fingerprint, kemId } }) =>
        ({ fingerprint, kind: `${kemId === X_WING_ID ? "MLKEM768-X25519" : "X25519"}, protocol 2` })))
  // of several keys the pins choose one, if they can
  return Effect.orElse(fetched(config), () => fetched({ ...config, routerKeyConfigFingerprints: [] })).pipe(
    Effect.provide(NodePrimitives.layer)
  )
}

const PIN = { 1: "NOMYO_ROUTER_KEY_FINGERPRINTS", 2: "NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS" }

const checkPin = (config: NomyoConfig, kind: string, fingerprint: string): Finding => {
  const { fail, pass, warn } = findings("router key")
  const pins = pinsOf(config)
  const what = `${kind}, fingerprint ${fingerprint}`
  if (pins.length === 0) {
    return warn(`${what}, is not pinned`, `compare it with the operator's, then set ${PIN[config.protocol]}`)
  }
  return pins.includes(fingerprint)
    ? pass(`${what}, is pinned`)
    : fail(
      `${what}, is none of ${PIN[config.protocol]}`,
      "ask the operator by another way whether the key is new"
    )
}

const checkKey = (config: NomyoConfig) =>
  fetchKey(config).pipe(
    Effect.map(({ fingerprint, kind }) => checkPin(config, kind, fingerprint)),
    Effect.catchAll((error) => {
      const isOther = error.message.includes(ONLY_PROTOCOL_2)
      const todo = isOther ? "set NOMYO_PROTOCOL=2, or pass --protocol 2" : WHERE
      return Effect.succeed(findings("router key").fail(describe(error), todo))
    }),
    Effect.scoped
  )

/** All checks of the router. A router that cannot be reached or proved is not asked for more. */
export const checkRouter = Effect.fnUntraced(function*(config: NomyoConfig) {
  const probed = Effect.tryPromise({ try: () => probe(config), catch: (error) => error })
  const answer = yield* Effect.either(probed)
  if (answer._tag === "Left") return [unreachable(config, answer.left)]
  const now = yield* Clock.currentTimeMillis
  const { certificate } = answer.right
  const tls = certificate === undefined ? checkPlainHttp(config) : checkCertificate(certificate, now)
  const reached = [findings("router").pass(`${config.baseUrl} answers`), tls, checkClock(answer.right, now)]
  const isProved = certificate === undefined || tls.status !== "FAIL"
  return isProved ? [...reached, yield* checkKey(config)] : reached
})
