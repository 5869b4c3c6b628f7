import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import { misspelled, related } from "../internal/closestName.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { InvalidRequestError, isNomyoError } from "../NomyoError.js"
import { DEFAULT_MODELS } from "../openai/models.js"
import type { Transport } from "../Transport.js"
import { listModels } from "./routerModels.js"

/** More names than this do not help. */
const MOST_NAMES = 10

/** Ollama takes a name without its tag for the latest, and LiteLLM lists patterns. */
const offers = (ids: ReadonlyArray<string>, model: string): boolean =>
  ids.some((id) => id === model || id === `${model}:latest` || id.includes("*"))

const unknownModel = (ids: ReadonlyArray<string>, model: string) => {
  const meant = misspelled(model, ids) ?? related(model, ids)
  const names = meant === undefined ? ids.slice(0, MOST_NAMES).join(", ") : meant
  const more = meant === undefined && ids.length > MOST_NAMES ? ", …" : ""
  return new InvalidRequestError({
    message: meant === undefined
      ? `The router has no model ${model}. Choose one with --model: ${names}${more}`
      : `The router has no model ${model}. Did you mean ${names}?`
  })
}

/** Whether the router has answered, and lists no models. Any other failure the question itself will meet. */
const hasNoList = (error: unknown): boolean =>
  ParseResult.isParseError(error) ||
  (isNomyoError(error) && "statusCode" in error && [404, 405, 501].includes(error.statusCode))

/**
 * Fails for a model that is not in the router's list. Where the router has none, it warns of a model that the
 * documentation does not name.
 */
export const checkModel = (
  config: NomyoConfig,
  model: string
): Effect.Effect<void, InvalidRequestError, Transport> =>
  Effect.matchEffect(listModels(config), {
    onSuccess: (ids) => offers(ids, model) ? Effect.void : Effect.fail(unknownModel(ids, model)),
    onFailure: (error) =>
      hasNoList(error) && !DEFAULT_MODELS.includes(model)
        ? Effect.logWarning(`The router lists no models, so nothing has checked that it has ${model}`)
        : Effect.void
  })
