/** The command line, as a process of its own. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { path } from "./vectors.js"

const BIN = "dist/cli/nomyo.cjs"

/** What a process that ended has said. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end. */
export const nomyo = (
  args: ReadonlyArray<string>,
  { env, stdin = "" }: { readonly stdin?: string; readonly env?: NodeJS.ProcessEnv } = {}
): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [BIN, ...args], { env: { ...process.env, ...env } },
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }))
    child.stdin?.end(stdin)
  })

/** A `nomyo router` that is listening. */
export interface RunningRouter {
  readonly child: ChildProcess
  readonly url: string
  /** The lines of its banner by what precedes two blanks. */
  readonly banner: { readonly [name: string]: string }
  /** What it has written to stderr so far. */
  readonly stderr: () => string
  /** Stops it, and gives its exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
}

/** The banner ends with a line to try. */
const LAST_LINE = "try"

/** A key directory of the vectors' key, which takes no time to make. */
const keyDirectory = (): string => {
  const dir = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
  Fs.writeFileSync(Path.join(dir, "private_key.pem"), Fs.readFileSync(path("keys/server_4096.pem")), {
    mode: 0o600
  })
  return dir
}

/**
 * Starts `nomyo router` on a free port, and waits for its banner. Its key is the vectors' unless `args` name
 * one.
 */
export const startRouter = async (
  args: ReadonlyArray<string> = [],
  { env = {}, node = [] }: { readonly env?: NodeJS.ProcessEnv; readonly node?: ReadonlyArray<string> } = {}
): Promise<RunningRouter> => {
  const keys = args.includes("--key-dir") ? [] : ["--key-dir", keyDirectory()]
  const child = spawn(process.execPath, [...node, BIN, "router", "--port", "0", ...keys, ...args], {
    env: { ...process.env, ...env }
  })
  let stderr = ""
  child.stderr.on("data", (chunk) => {
    stderr += chunk
  })
  const banner: { [name: string]: string } = {}
  for await (const line of createInterface(child.stdout)) {
    const [, name = "", value = ""] = /^ *(listening on|.+? (?= ))\s*(.*)$/.exec(line) ?? []
    banner[name.trimEnd()] = value
    if (banner[LAST_LINE] !== undefined) break
  }
  if (banner[LAST_LINE] === undefined) throw new Error(`nomyo router ended: ${stderr}`)
  child.stdout.resume()
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode !== null) return child.exitCode
    child.kill(signal)
    await once(child, "exit")
    return child.exitCode
  }
  return { child, url: banner["listening on"] ?? "", banner, stderr: () => stderr, stop }
}
