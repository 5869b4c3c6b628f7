/** The `nomyo` command. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as Runtime from "@effect/platform/Runtime"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import packageJson from "../../package.json" with { type: "json" }
import { InvalidRequestError } from "../NomyoError.js"
import { chat } from "./chat.js"
import { demo } from "./demo.js"
import { doctor } from "./doctor.js"
import { describe, isUsageError } from "./errors.js"
import { type HelpPage, helpPage } from "./helpPage.js"
import { keys } from "./keys.js"
import * as Log from "./log.js"
import { proxy } from "./proxy.js"
import { router } from "./router.js"
import { err, out, withoutPages } from "./terminal.js"
import { find, mistake, render } from "./usage.js"

const about = "Chat completions, encrypted end to end between this machine and a NOMYO router"

const nomyo = Command.make("nomyo").pipe(Command.withSubcommands([chat, demo, doctor, keys, proxy, router]))

const pages: HelpPage = {
  command: "nomyo",
  about,
  args: [],
  options: [{ name: "--version", value: "", about: "Show the version" }],
  subcommands: Object.entries({ chat, demo, doctor, keys, proxy, router }).map(([name, { descriptor }]) =>
    helpPage(`nomyo ${name}`, descriptor))
}

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
/** Exit codes of shells for a command that a signal ended. */
const EXIT_SIGNAL = { SIGINT: 130, SIGTERM: 143 }

let stoppedBy = EXIT_FAILURE
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    stoppedBy = EXIT_SIGNAL[signal]
  })
}

/** One line on stderr about an error. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const error = Option.getOrElse(Cause.failureOption(cause), () => Cause.squash(cause))
  return Effect.zipRight(
    err(`nomyo: ${describe(error)}`),
    Effect.sync(() => {
      process.exitCode = isUsageError(error) ? EXIT_USAGE : EXIT_FAILURE
    })
  )
}

/**
 * Ends the process when nothing more can be written. A reader that has seen enough, such as `head`, is no
 * failure.
 */
const onWriteError = (name: string) => ({ code }: NodeJS.ErrnoException): void => {
  if (code === "EPIPE") process.exit(0)
  if (name === "standard output") process.stderr.write(
    `nomyo: Cannot write to ${name} (${code}). Check the disk or the program that reads it\n`
  )
  process.exit(EXIT_FAILURE)
}

process.stdout.on("error", onWriteError("standard output"))
process.stderr.on("error", onWriteError("standard error"))

const isHelp = (word: string): boolean => word === "--help" || word === "-h"

/** Prints help, or says what is wrong with the command line, or runs the command. */
const main = (argv: ReadonlyArray<string>) => {
  const words = argv.slice(2)
  const { page, rest } = find(pages, words)
  if (rest.some(isHelp) || (page.subcommands.length > 0 && rest.length === 0)) {
    return out(render(page, process.stdout.columns ?? (Number(process.env["COLUMNS"]) || undefined)))
  }
  const problem = mistake(page, rest)
  return problem === undefined
    ? Command.run(nomyo, { name: "nomyo", version: packageJson.version })(argv)
    : Effect.fail(new InvalidRequestError({ message: problem }))
}

main(process.argv).pipe(
  withoutPages,
  Effect.catchAllCause(report),
  Effect.provide(Layer.mergeAll(
    CliConfig.layer({ showBuiltIns: false }),
    NodeFileSystem.layer,
    NodePath.layer,
    NodeTerminal.layer,
    Log.layerTerminal
  )),
  (program) =>
    NodeRuntime.runMain(program, {
      disablePrettyLogger: true,
      teardown: (exit, onExit) => {
        // to be told to stop is a server's proper end, and nothing else's
        const isServer = ["proxy", "router"].includes(process.argv[2] ?? "")
        const isStopped = Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause) && !isServer
        Runtime.defaultTeardown(exit, (code) => onExit(isStopped ? stoppedBy : code))
      }
    })
)
