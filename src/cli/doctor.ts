import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import packageJson from "../../package.json" with { type: "json" }
import * as NomyoConfig from "../NomyoConfig.js"
import * as Node from "../platform/node/index.js"
import { clientOptions, layer, resolve } from "./client.js"
import { checkApiKey, checkChat } from "./doctor/apiKey.js"
import { type Finding, findings } from "./doctor/finding.js"
import { checkKeys, checkMemory, checkNode, checkPorts, checkProxyVariables } from "./doctor/machine.js"
import { checkRouter } from "./doctor/router.js"
import { describe } from "./errors.js"
import { defaultModel } from "./models.js"
import { PROXY_PORT } from "./proxyOptions.js"
import { checkPort } from "./serverOptions.js"
import { STATE_KEY_DIR, stateKeyDir } from "./stateDirectory.js"
import { out, plain, plainJson, styled, withSpinner } from "./terminal.js"

const EXIT_FAIL = 1

const { allowHttp, baseUrl, model, protocol } = clientOptions

const options = {
  chat: Options.boolean("chat").pipe(
    Options.withDescription("Also send one encrypted question, which may cost money")
  ),
  json: Options.boolean("json").pipe(Options.withDescription("Print the findings as JSON")),
  // the parser takes no repeated whole numbers
  port: Options.text("port").pipe(
    Options.withPseudoName("NUMBER"),
    Options.repeated,
    Options.mapEffect((ports) => Effect.forEach(ports, (port) => checkPort(Number(port)))),
    Options.withDescription(`Another port that must be free, beside ${PROXY_PORT}; repeatable`)
  ),
  model,
  baseUrl,
  protocol,
  allowHttp
}

interface Given {
  readonly chat: boolean
  readonly json: boolean
  readonly port: ReadonlyArray<number>
  readonly model: Option.Option<string>
  readonly baseUrl: Option.Option<string>
  readonly protocol: Option.Option<1 | 2>
  readonly allowHttp: boolean
}

/** The API key, once the router is known to be the right one. */
const checkAccess = (given: Given, options: Node.Options, config: NomyoConfig.NomyoConfig) => {
  if (!given.chat) return checkApiKey(config)
  const asked = Effect.flatMap(
    Option.match(given.model, { onNone: () => defaultModel(config), onSome: Effect.succeed }),
    (model) => checkChat(config, model)
  )
  return asked.pipe(
    Effect.provide(layer(options)),
    Effect.catchAll((error) =>
      Effect.succeed(
        findings("api key").fail(`No question could be asked: ${describe(error)}`, "fix that, then try again")
      ))
  )
}

const checkClient = Effect.fnUntraced(function*(
  given: Given,
  options: Node.Options,
  config: NomyoConfig.NomyoConfig
) {
  const checks = [checkRouter(config), checkKeys(options, config)] as const
  const [router, keys] = yield* Effect.all(checks, { concurrency: 2 })
  const isBlocked = [...router, ...keys].some(({ status }) => status === "FAIL")
  return [...router, ...keys, ...isBlocked ? [] : [yield* checkAccess(given, options, config)]]
})

/** The checks that need the client's options, or what is wrong with those. */
const checkConfigured = (given: Given) =>
  Effect.gen(function*() {
    const options = yield* resolve(given, stateKeyDir())
    const config = yield* NomyoConfig.make(options)
    const services = Node.layerPlatform({ ...options, keyDir: false })
    return [...yield* Effect.provide(checkClient(given, options, config), services), checkMemory(options)]
  }).pipe(
    Effect.catchAll((error) =>
      Effect.succeed([findings("options").fail(describe(error), "correct the option or the variable")]))
  )

const checkAll = (given: Given) =>
  Effect.map(
    Effect.all([checkConfigured(given), checkPorts(given.port, PROXY_PORT)], { concurrency: 2 }),
    ([configured, ports]): ReadonlyArray<Finding> => [
      checkNode(process.versions.node),
      ...configured,
      checkProxyVariables(process.env),
      ...ports
    ]
  )

const STYLES = { PASS: "green", WARN: "yellow", FAIL: "red" } as const

const show = Effect.fnUntraced(function*(found: ReadonlyArray<Finding>) {
  const width = Math.max(...found.map(({ name }) => name.length))
  for (const { name, status, todo, what } of found) {
    yield* out(`${styled(STYLES[status], status)}  ${name.padEnd(width)}  ${plain(what)}`)
    if (todo !== undefined) yield* out(`${" ".repeat(width + 8)}→ ${plain(todo)}`)
  }
  const count = (wanted: Finding["status"]) => found.filter(({ status }) => status === wanted).length
  yield* out(`\n${count("PASS")} passed, ${count("WARN")} warned, ${count("FAIL")} failed`)
})

const run = Effect.fnUntraced(function*(given: Given) {
  const found = yield* withSpinner("Checking")(checkAll(given))
  yield* given.json
    ? out(plainJson({ nomyo: packageJson.version, platform: process.platform, findings: found }))
    : show(found)
  if (found.some(({ status }) => status === "FAIL")) process.exitCode = EXIT_FAIL
})

/** `nomyo doctor`: says why requests do not work, or could not. */
export const doctor = Command.make("doctor", options, (given) =>
  // what the client would log, the findings say
  Logger.withMinimumLogLevel(run(given), LogLevel.None)).pipe(
  Command.withDescription(
    "Check this machine and the router, and say what to do about each problem. The exit code is 1 if a " +
      "check fails. The output holds no secret, so you can paste it into a report. " +
      `The key directory is NOMYO_KEY_DIR, by default ${STATE_KEY_DIR}`
  )
)
