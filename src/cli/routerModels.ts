import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { NomyoConfig } from "../NomyoConfig.js"
import { DEFAULT_MODELS } from "../openai/models.js"
import { Transport } from "../Transport.js"

const Entry = Schema.Struct({ id: Schema.String })
const List = Schema.parseJson(Schema.Struct({ data: Schema.NonEmptyArray(Entry) }))

const MAX_BYTES = 1024 * 1024

/** A tool's own start waits for the list. */
const TIMEOUT = "5 seconds"

/** The ids of the models that a router lists. Fails if it lists none. */
export const listModels = ({ apiKey, baseUrl }: NomyoConfig) =>
  Effect.flatMap(Transport, (transport) =>
    transport.send({
      method: "GET",
      url: `${baseUrl}/v1/models`,
      headers: apiKey === undefined ? {} : { Authorization: `Bearer ${Redacted.value(apiKey)}` },
      maxResponseBytes: MAX_BYTES
    })).pipe(
    Effect.flatMap((bytes) => Schema.decode(List)(new TextDecoder().decode(bytes))),
    Effect.map(({ data }): ReadonlyArray<string> => data.map(({ id }) => id)),
    Effect.timeout(TIMEOUT)
  )

/** The ids of the models that a router lists; those of the service's documentation if it lists none. */
export const routerModels = (
  config: NomyoConfig
): Effect.Effect<ReadonlyArray<string>, never, Transport> =>
  Effect.orElseSucceed(listModels(config), () => DEFAULT_MODELS)
