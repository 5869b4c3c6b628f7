/** Checks of this machine: Node, the key directory, the environment, ports, memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import packageJson from "../../../package.json" with { type: "json" }
import { keyAge } from "../../internal/keyAge.js"
import type { NomyoConfig } from "../../NomyoConfig.js"
import type * as Node from "../../platform/node/index.js"
import { getMemoryProtectionInfo } from "../../platform/node/NodeSecureMemory.js"
import { inspect } from "../inspectKeys.js"
import { proxyWarning } from "../proxyVariables.js"
import { type Finding, findings } from "./finding.js"

const numbersOf = (version: string): ReadonlyArray<number> => (version.match(/\d+/g) ?? []).map(Number)

/** Whether a version is at least as new as another, by its first three numbers. */
const isAtLeast = (version: string, least: string): boolean => {
  const [given, needed] = [numbersOf(version), numbersOf(least)]
  const at = [0, 1, 2].find((i) => (given[i] ?? 0) !== (needed[i] ?? 0))
  return at === undefined || (given[at] ?? 0) > (needed[at] ?? 0)
}

/** Node's version against the one that the package names. */
export const checkNode = (version: string): Finding => {
  const { fail, pass } = findings("node")
  const least = packageJson.engines.node.replace(">=", "")
  return isAtLeast(version, least)
    ? pass(`Node ${version}`)
    : fail(`Node ${version} is too old`, `install Node ${least} or later`)
}

const ageOf = (createdAt: number, now: number): string => {
  const seconds = Math.floor((now - createdAt) / 1000)
  return seconds < 1 ? "just now" : `${Duration.format(Duration.seconds(seconds))} ago`
}

const describePair = (
  dir: string,
  createdAt: number,
  now: number,
  { keyRotationInterval }: NomyoConfig
): Finding => {
  const { pass, warn } = findings("key directory")
  const what = `${dir} holds a key pair, made ${ageOf(createdAt, now)}`
  return keyAge(createdAt, now) > Duration.toMillis(keyRotationInterval)
    ? warn(
      `${what}, is due for rotation`,
      `nothing: the next client rotates it; or run: nomyo keys rotate --dir ${dir}`
    )
    : pass(what)
}

const checkDirectory = Effect.fnUntraced(function*(
  dir: string,
  options: Node.Options,
  config: NomyoConfig
) {
  const { pass } = findings("key directory")
  const exists = yield* Effect.promise(() => Fs.lstat(dir).then(() => true, () => false))
  if (!exists) return [pass(`${dir} does not exist: the first request makes it, with a key pair`)]
  const password = options.keyRotationPassword
  const { createdAt, problems } = yield* inspect(dir, {
    password: typeof password === "string" ? Redacted.make(password) : password,
    isMounted: options.keyDirReadOnly === true && dir === options.keyDir
  })
  const found = problems.map((problem): Finding => ({ name: "key directory", ...problem }))
  if (createdAt !== undefined) {
    return [describePair(dir, createdAt, yield* Clock.currentTimeMillis, config), ...found]
  }
  return problems.some(({ status }) => status === "FAIL")
    ? found
    : [pass(`${dir} holds no key pair: the first request makes one`), ...found]
})

/** The directories of the client's key pair, as the client uses them. */
export const checkKeys = (options: Node.Options, config: NomyoConfig) => {
  const { keyDir, keyRotationDir } = options
  if (keyDir === false || keyDir === undefined) {
    return Effect.succeed([findings("key directory").pass("The key pair is kept in memory alone")])
  }
  const dirs = keyRotationDir === undefined ? [keyDir] : [keyDir, keyRotationDir]
  const checked = Effect.forEach(dirs, (dir) => checkDirectory(dir, options, config))
  return Effect.map(checked, (found) => found.flat())
}

/** Variables that make other tools send their prompts through an HTTP proxy. */
export const checkProxyVariables = (environment: NodeJS.ProcessEnv): Finding => {
  const { pass, warn } = findings("proxy variables")
  const [what, todo] = proxyWarning(environment)?.split(". ") ?? []
  return what === undefined || todo === undefined
    ? pass("No HTTP proxy stands between tools and nomyo proxy")
    : warn(what, todo.replace(/^S/, "s"))
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = Net.createServer().on("error", () => resolve(false))
    server.listen({ port, host: "127.0.0.1" }, () => server.close(() => resolve(true)))
  })

/** The port of `nomyo proxy`, and those that were asked for. */
export const checkPorts = (
  asked: ReadonlyArray<number>,
  byDefault: number
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.forEach(new Set([...asked, byDefault]), (port) => {
    const { fail, pass, warn } = findings("port")
    const taken = asked.includes(port) ? fail : warn
    return Effect.map(Effect.promise(() => isFree(port)), (free) =>
      free
        ? pass(`Port ${port} is free`)
        : taken(`Port ${port} is in use`, "choose another with --port, unless nomyo proxy runs there"))
  })

/** Whether secrets in memory are kept out of the swap file. */
export const checkMemory = ({ secureMemory }: Node.Options): Finding => {
  const { pass, warn } = findings("memory")
  if (secureMemory === false) {
    return warn("NOMYO_SECURE_MEMORY=false: secrets are neither zeroed nor locked", "unset it")
  }
  const { canLock, details = "" } = getMemoryProtectionInfo()
  return canLock
    ? pass(details)
    : warn(details, "npm install sodium-native, and allow the process to lock memory (ulimit -l)")
}
