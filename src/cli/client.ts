import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SecurityTier } from "../ChatCompletion.js"
import type { Crypto } from "../Crypto.js"
import type { InvalidRequestError } from "../NomyoError.js"
import * as Node from "../platform/node/index.js"
import type { Transport } from "../Transport.js"

/** The smallest one of the service. */
export const DEFAULT_MODEL = "Qwen/Qwen3-0.6B"

export const TIERS: ReadonlyArray<SecurityTier> = ["standard", "high", "maximum"]

/** The options of every command that talks to a router. */
export const clientOptions = {
  model: Options.text("model").pipe(
    Options.optional,
    Options.withPseudoName("ID"),
    Options.withDescription(`The model that answers. Default: ${DEFAULT_MODEL}, or the router's first model`)
  ),
  system: Options.text("system").pipe(
    Options.optional,
    Options.withPseudoName("TEXT"),
    Options.withDescription("The system message")
  ),
  tier: Options.choice("tier", TIERS).pipe(
    Options.optional,
    Options.withDescription(
      "The security tier, which chooses the hardware, of requests without one. Default: the router decides"
    )
  ),
  baseUrl: Options.text("base-url").pipe(
    Options.optional,
    Options.withPseudoName("URL"),
    Options.withDescription("The router's URL. Default: NOMYO_BASE_URL, or https://api.nomyo.ai")
  ),
  protocol: Options.choiceWithValue("protocol", [["1", 1 as const], ["2", 2 as const]]).pipe(
    Options.optional,
    Options.withDescription("The protocol version. Default: NOMYO_PROTOCOL, or 1")
  ),
  allowHttp: Options.boolean("allow-http").pipe(
    Options.withDescription("Allow an http:// URL, for development. Default: NOMYO_ALLOW_HTTP, or off")
  )
}

export interface ClientOptions {
  readonly model: Option.Option<string>
  readonly system: Option.Option<string>
  readonly tier: Option.Option<SecurityTier>
  readonly baseUrl: Option.Option<string>
  readonly protocol: Option.Option<1 | 2>
  readonly allowHttp: boolean
}

/**
 * The client's options: the command line's before those of the environment. The key pair is in `keyDir`
 * unless `NOMYO_KEY_DIR` is set; with `false` it stays in memory, and is gone with the process.
 */
export const resolve = (
  { allowHttp, baseUrl, protocol }: Pick<ClientOptions, "allowHttp" | "baseUrl" | "protocol">,
  keyDir: string | false
): Effect.Effect<Node.Options, InvalidRequestError> =>
  Effect.map(Node.environment, (environment) => ({
    ...environment,
    keyDir: environment.keyDir ?? keyDir,
    baseUrl: Option.getOrElse(baseUrl, () => environment.baseUrl),
    protocol: Option.getOrElse(protocol, () => environment.protocol),
    allowHttp: allowHttp || environment.allowHttp
  }))

type Decorate =
  | Layer.Layer<never, never, Crypto | Transport>
  | Layer.Layer<Crypto | Transport, never, Crypto | Transport>

/** The client with the services that it stands on. */
export const layer = (options: Node.Options, decorate: Decorate = Layer.empty) =>
  Layer.provideMerge(Node.layerParts(options), Layer.provideMerge(decorate, Node.layerPlatform(options)))
