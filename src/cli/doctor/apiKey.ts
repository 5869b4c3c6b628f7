/** Whether the router takes the API key. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NomyoClient } from "../../NomyoClient.js"
import type { NomyoConfig } from "../../NomyoConfig.js"
import { AuthenticationError } from "../../NomyoError.js"
import { describe } from "../errors.js"
import { listModels } from "../routerModels.js"
import { type Finding, findings } from "./finding.js"

const { fail, pass, warn } = findings("api key")

const GET_KEY = "set NOMYO_API_KEY to a key that the router knows, without quotes or line breaks"

const refused = ({ apiKey }: NomyoConfig): Finding => {
  const isSet = apiKey !== undefined
  return fail(isSet ? "The router does not accept NOMYO_API_KEY" : "NOMYO_API_KEY is not set", GET_KEY)
}

/** Asks for the list of models, which shows a wrong key and proves no right one. */
export const checkApiKey = (config: NomyoConfig) =>
  Effect.map(Effect.either(listModels(config)), (listed): Finding => {
    if (listed._tag === "Left" && listed.left instanceof AuthenticationError) return refused(config)
    return config.apiKey === undefined
      ? warn("NOMYO_API_KEY is not set", "set it, unless your router asks for none")
      : pass("NOMYO_API_KEY is set, and the router has not refused it; --chat tries it in a question")
  })

/** Sends one encrypted question. */
export const checkChat = Effect.fnUntraced(function*(config: NomyoConfig, model: string) {
  const client = yield* NomyoClient
  const messages = [{ role: "user", content: "Answer with OK." }]
  const asked = client.create({ model, messages, max_tokens: 16 })
  const [took, answered] = yield* Effect.timed(Effect.either(asked))
  if (answered._tag === "Right") {
    return pass(`${model} answered an encrypted question in ${Duration.toSeconds(took).toFixed(1)} s`)
  }
  return answered.left instanceof AuthenticationError
    ? refused(config)
    : fail(
      `An encrypted question failed: ${describe(answered.left)}`,
      "look the error up: https://github.com/nomyo-ai/nomyo-js/blob/main/doc/troubleshooting.md"
    )
})
