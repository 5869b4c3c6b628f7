import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ChatCompletionRequest } from "../ChatCompletion.js"
import type { Crypto } from "../Crypto.js"
import * as Node from "../platform/node/index.js"
import type { Transport } from "../Transport.js"

/** The options of every command that talks to a router. */
export const clientOptions = {
  model: Options.text("model").pipe(
    Options.withDefault("Qwen/Qwen3-0.6B"),
    Options.withDescription("The model that answers")
  ),
  system: Options.text("system").pipe(
    Options.optional,
    Options.withDescription("A system message to begin with")
  ),
  tier: Options.choice("tier", ["standard", "high", "maximum"]).pipe(
    Options.optional,
    Options.withDescription("How isolated the hardware is")
  ),
  baseUrl: Options.text("base-url").pipe(
    Options.optional,
    Options.withDescription("The router. Default: NOMYO_BASE_URL, or https://api.nomyo.ai")
  ),
  protocol: Options.choiceWithValue("protocol", [["1", 1 as const], ["2", 2 as const]]).pipe(
    Options.optional,
    Options.withDescription("The protocol to speak with the router. Default: NOMYO_PROTOCOL, or 1")
  ),
  allowHttp: Options.boolean("allow-http").pipe(
    Options.withDescription("Allow a router without TLS, for development")
  )
}

export interface ClientOptions {
  readonly model: string
  readonly system: Option.Option<string>
  readonly tier: Option.Option<"standard" | "high" | "maximum">
  readonly baseUrl: Option.Option<string>
  readonly protocol: Option.Option<1 | 2>
  readonly allowHttp: boolean
}

export const request = (prompt: string, { model, system, tier }: ClientOptions): ChatCompletionRequest => ({
  model,
  messages: [
    ...Option.match(system, { onNone: () => [], onSome: (content) => [{ role: "system", content }] }),
    { role: "user", content: prompt }
  ],
  security_tier: Option.getOrUndefined(tier)
})

/**
 * The client with its options from the environment and the command line. Its key pair stays in memory, and is gone with the process,
 * unless `NOMYO_KEY_DIR` is set.
 */
export const layer = (
  { allowHttp, baseUrl, protocol }: Pick<ClientOptions, "allowHttp" | "baseUrl" | "protocol">,
  decorate: Layer.Layer<never, never, Crypto | Transport> | Layer.Layer<Crypto | Transport, never, Crypto | Transport> = Layer.empty
) =>
  Layer.unwrapEffect(Effect.map(Node.config, (environment) => {
    const options: Node.Options = {
      ...environment,
      keyDir: environment.keyDir ?? false,
      baseUrl: Option.getOrElse(baseUrl, () => environment.baseUrl),
      protocol: Option.getOrElse(protocol, () => environment.protocol),
      allowHttp: allowHttp || environment.allowHttp
    }
    return Layer.provide(Node.layerParts(options), Layer.provideMerge(decorate, Node.layerPlatform(options)))
  }))
