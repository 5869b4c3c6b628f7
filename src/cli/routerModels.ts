import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { NomyoConfig } from "../NomyoConfig.js"
import { APIConnectionError, type NomyoError } from "../NomyoError.js"
import { DEFAULT_MODELS } from "../openai/models.js"
import { Transport } from "../Transport.js"

const Entry = Schema.Struct({ id: Schema.String })
const List = Schema.parseJson(Schema.Struct({ data: Schema.NonEmptyArray(Entry) }))

const MAX_BYTES = 1024 * 1024

/** A tool's own start waits for the list. In seconds. */
const TIMEOUT = 5

const late = () =>
  new APIConnectionError({
    reason: "timeout",
    message: `The router did not list its models within ${TIMEOUT} seconds. Try again`
  })

/** The ids of the models that a router lists. Fails if it lists none. */
export const listModels = ({ apiKey, baseUrl }: Pick<NomyoConfig, "apiKey" | "baseUrl">) =>
  Effect.flatMap(Transport, (transport) =>
    transport.send({
      method: "GET",
      url: `${baseUrl}/v1/models`,
      headers: apiKey === undefined ? {} : { Authorization: `Bearer ${Redacted.value(apiKey)}` },
      maxResponseBytes: MAX_BYTES
    })).pipe(
    Effect.flatMap((bytes) => Schema.decode(List)(new TextDecoder().decode(bytes))),
    Effect.map(({ data }): ReadonlyArray<string> => data.map(({ id }) => id)),
    Effect.timeoutFail({ duration: `${TIMEOUT} seconds`, onTimeout: late })
  )

/** Statuses of a server without such a path. */
const MISSING = new Set([404, 405, 501])

/** The list; `None` if the router has answered with none. Any other failure stays. */
export const listIfAny = (config: Pick<NomyoConfig, "apiKey" | "baseUrl">) =>
  Effect.catchAll(Effect.asSome(listModels(config)), (error) =>
    ParseResult.isParseError(error) || ("statusCode" in error && MISSING.has(error.statusCode))
      ? Effect.succeedNone
      : Effect.fail(error))

/** The ids of the models that a router lists; the ids in the service's documentation if it has no list. */
export const routerModels = (
  config: NomyoConfig,
  apiKey: string | undefined
): Effect.Effect<ReadonlyArray<string>, NomyoError, Transport> =>
  Effect.map(
    listIfAny(apiKey === undefined ? config : { ...config, apiKey: Redacted.make(apiKey) }),
    Option.getOrElse(() => DEFAULT_MODELS)
  )
