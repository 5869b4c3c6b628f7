/** The model of a conversation, and whether the router has it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { misspelled, related } from "../internal/closestName.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { InvalidRequestError } from "../NomyoError.js"
import { DEFAULT_MODELS } from "../openai/models.js"
import type { Transport } from "../Transport.js"
import { DEFAULT_MODEL } from "./client.js"
import { listIfAny } from "./routerModels.js"

/** More names than this do not help. */
const MOST_NAMES = 10

/** Ollama takes a name without its tag for the latest, and LiteLLM lists patterns. */
const offers = (ids: ReadonlyArray<string>, model: string): boolean =>
  ids.some((id) => id === model || id === `${model}:latest` || id.includes("*"))

const unknownModel = (ids: ReadonlyArray<string>, model: string) => {
  const meant = misspelled(model, ids) ?? related(model, ids)
  const names = ids.slice(0, MOST_NAMES).join(", ") + (ids.length > MOST_NAMES ? ", …" : "")
  const advice = meant === undefined ? `Choose one with --model: ${names}` : `Did you mean ${meant}?`
  return new InvalidRequestError({ message: `The router has no model ${model}. ${advice}` })
}

/** The router's list; `None` if it has none. Any other failure, the question itself will meet. */
const listed = (config: NomyoConfig) =>
  Effect.option(listIfAny(config))

/**
 * Fails for a model that is not in the router's list. Where the router has none, it warns of a model that the
 * documentation does not name.
 */
export const checkModel = (
  config: NomyoConfig,
  model: string
): Effect.Effect<string, InvalidRequestError, Transport> =>
  Effect.flatMap(listed(config), (answered) => {
    if (Option.isNone(answered)) return Effect.succeed(model)
    const ids = Option.getOrElse(answered.value, () => DEFAULT_MODELS)
    if (offers(ids, model)) return Effect.succeed(model)
    return Option.isSome(answered.value)
      ? Effect.fail(unknownModel(ids, model))
      : Effect.as(
        Effect.logWarning(`The router lists no models. If it has no model ${model}, the request will fail`),
        model
      )
  })

/** The default model, or the router's first one if that list lacks it. */
export const defaultModel = (config: NomyoConfig): Effect.Effect<string, never, Transport> =>
  Effect.flatMap(listed(config), (answered) => {
    const [first = DEFAULT_MODEL, ...rest] = Option.getOrElse(Option.flatten(answered), () => [DEFAULT_MODEL])
    if (first === DEFAULT_MODEL || rest.includes(DEFAULT_MODEL)) return Effect.succeed(DEFAULT_MODEL)
    return Effect.as(Effect.logInfo(`The model is ${first}. Choose another with --model.`), first)
  })
