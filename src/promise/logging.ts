/** Log lines of the Promise classes: one line each, to the `logger` option or to the console. */
import * as Layer from "effect/Layer"
import * as EffectLogger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { ClientConfig, Logger } from "./options.js"

/**
 * `console.warn` writes to standard error on Node, where `console.debug` would write into a program's output.
 */
// oxlint-disable-next-line no-console
const toConsole: Logger = { warn: (line) => console.warn(line) }

/** A message may hold what a server said: no control character of it moves a terminal's cursor. */
// oxlint-disable-next-line no-control-regex
const clean = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")

const lineOf = ({ annotations, message }: EffectLogger.Logger.Options<unknown>): string => {
  const messages = Array.isArray(message) ? message : [message]
  const notes = [...annotations].map(([name, value]) => `${name}=${String(value)}`)
  return clean(["nomyo-js:", ...messages.map(String), ...notes].join(" "))
}

const write = (logger: Logger, level: LogLevel.LogLevel, line: string): void => {
  try {
    if (LogLevel.lessThan(level, LogLevel.Warning) && logger.debug !== undefined) logger.debug(line)
    else logger.warn(line)
  } catch {
    // a logger that fails must not fail the request
  }
}

/** Logs to `logger`, or to the console; what is less than a warning only with `debug`. */
export const layerLogger = (
  { debug, logger = toConsole }: Pick<ClientConfig, "debug" | "logger">
): Layer.Layer<never> =>
  Layer.merge(
    EffectLogger.replace(
      EffectLogger.defaultLogger,
      EffectLogger.make((options) => write(logger, options.logLevel, lineOf(options)))
    ),
    EffectLogger.minimumLogLevel(debug === true ? LogLevel.Debug : LogLevel.Warning)
  )
