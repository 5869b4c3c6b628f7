/** The client's options from Effect 4's configuration. */
import * as Config from "effect4/Config"
import * as Duration from "effect4/Duration"
import * as Record from "effect4/Record"
import * as Variables from "../internal/variables.js"
import type { Options } from "./options.js"

/** A variable that is missing or blank is not set. */
const optional = <A>(name: string, read: (name: string) => Config.Config<A>): Config.Config<A | undefined> =>
  Config.flatMap(
    Config.withDefault(Config.String(name), ""),
    (text): Config.Config<A | undefined> => text.trim() === "" ? Config.succeed(undefined) : read(name)
  )

/** A number of milliseconds, or a number and a unit, such as `30 seconds`. */
const time = (name: string): Config.Config<number> =>
  Config.orElse(Config.Finite(name), () => Config.map(Config.Duration(name), Duration.toMillis))

const keySize = (name: string): Config.Config<2048 | 4096> =>
  Config.map(Config.Literals(["2048", "4096"], name), (text) => text === "2048" ? 2048 : 4096)

const list = (name: string): Config.Config<ReadonlyArray<string>> =>
  Config.map(Config.String(name), (text) => text.split(",").map((part) => part.trim()))

const origins = (name: string): Config.Config<ReadonlyArray<string> | false> =>
  Config.map(list(name), (texts) => texts.join() === "false" ? false : texts)

const protocol = (name: string): Config.Config<1 | 2> =>
  Config.map(Config.Literals(["1", "2"], name), (text) => text === "1" ? 1 : 2)

/** How each kind of variable is read. */
const readers = {
  text: Config.String,
  secret: Config.Redacted,
  flag: Config.Boolean,
  integer: Config.Int,
  time,
  list,
  origins,
  keyDirectory: (name) => Config.map(Config.String(name), Variables.keyDirectory),
  keySize,
  protocol,
  postQuantum: (name) => Config.Literals(["off", "prefer", "require"], name)
} satisfies { readonly [kind in Variables.Kind]: (name: string) => Config.Config<unknown> }

type Value<K extends Variables.Kind> = Config.Success<ReturnType<(typeof readers)[K]>>
type Values<V extends Variables.Variables> = {
  readonly [option in keyof V]: Value<V[option][1]> | undefined
}

const fromEnvironment = <const V extends Variables.Variables>(variables: V) =>
  Config.all(
    Record.map(variables, ([name, kind]) => optional<unknown>(name, readers[kind]))
  ) as Config.Config<Values<V>>

/**
 * The options from the environment: `NOMYO_API_KEY` and the other variables of `NomyoConfig.config`. A
 * missing variable leaves the option at its default.
 *
 * @since 0.3.0
 * @category config
 */
export const config: Config.Config<Options> = fromEnvironment({
  ...Variables.portable,
  ...Variables.platform
})
