/** What the matrix stands on: the packed package, projects that install it, tools from the registry, and a router to talk to. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll } from "vitest"
import { root } from "../support/pages.js"
import * as Servers from "../support/servers.js"

/** Whether all cells run, or only those that are quick. */
export const isFull = process.env.NOMYO_PACKAGES === "full"

/** The cells that run now. */
export const cells = <Cell extends { readonly isQuick?: boolean }>(all: ReadonlyArray<Cell>): ReadonlyArray<Cell> =>
  isFull ? all : all.filter(({ isQuick }) => isQuick === true)

/** Tools are kept from one run to the next. */
const cache = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-packages")

/** One cell may download, install and build: on two busy cores that takes minutes. */
export const TIMEOUT = 600_000

const PROGRAMS = new URL("programs/", import.meta.url)

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

/** The last line that each program prints; what is before it are log lines. */
export const ANSWER = "You said: Hello! true"

export const lastLine = ({ stdout }: Output): string | undefined => stdout.trim().split("\n").at(-1)

/** Runs a file, and fails with all that it printed. */
export const run = async (
  file: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv }
): Promise<Output> => {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", NODE_OPTIONS: "", ...options.env }
  // a child is no test of this runner's, and no child of npm's
  for (const name of Object.keys(env)) if (/^(npm_|VITEST|TEST$|NODE_ENV$)/i.test(name)) delete env[name]
  try {
    return await promisify(execFile)(file, [...args], { cwd: options.cwd, env, timeout: TIMEOUT, maxBuffer: 1 << 28, killSignal: "SIGKILL" })
  } catch (error) {
    const { message, stderr, stdout } = error as Error & Output
    throw new Error(`${message}\n${stdout}\n${stderr}`, { cause: error })
  }
}

export const node = (cwd: string, ...args: ReadonlyArray<string>): Promise<Output> => run(process.execPath, args, { cwd })

/** The folder that has these packages in its `node_modules`, installed once and kept. */
export const tools = async (name: string, ...packages: ReadonlyArray<string>): Promise<string> => {
  const folder = Path.join(cache, name)
  const stamp = Path.join(folder, "installed.txt")
  if (Fs.existsSync(stamp) && Fs.readFileSync(stamp, "utf8") === packages.join(" ")) return folder
  Fs.mkdirSync(folder, { recursive: true })
  Fs.writeFileSync(Path.join(folder, "package.json"), "{\"private\":true}")
  await run("npm", ["install", "--force", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", ...packages], { cwd: folder })
  Fs.writeFileSync(stamp, packages.join(" "))
  return folder
}

export interface Place {
  /** A folder for projects. */
  readonly directory: string
  /** The packed package. */
  readonly tarball: string
  /** The development router. */
  readonly router: string
}

/** The place of a test file, from before its first test until after its last. */
export const usePlace = (): Place => {
  const place = { directory: "", tarball: "", router: "" }
  let close = (): Promise<void> => Promise.resolve()
  beforeAll(async () => {
    place.directory = Fs.realpathSync(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-packages-")))
    const packed = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", place.directory], { cwd: root })
    place.tarball = Path.join(place.directory, JSON.parse(packed.stdout)[0].filename)
    const router = await Servers.scoped(Servers.router())
    place.router = router.value
    close = router.close
  }, TIMEOUT)
  afterAll(async () => {
    await close()
    Fs.rmSync(place.directory, { recursive: true, force: true })
  })
  return place
}

/** A new folder with a `package.json`, the programs of the matrix, and more files. */
export const folder = (
  place: Place,
  name: string,
  options: { readonly manifest?: object; readonly files?: { readonly [path: string]: string } } = {}
): string => {
  const path = Fs.mkdtempSync(Path.join(place.directory, `${name.replaceAll(/[^\w.-]+/g, "-")}-`))
  const manifest = { name: "an-application", version: "1.0.0", private: true, type: "module", ...options.manifest }
  Fs.cpSync(PROGRAMS, path, { recursive: true })
  for (const [file, text] of Object.entries({ "package.json": JSON.stringify(manifest), ...options.files })) {
    Fs.mkdirSync(Path.dirname(Path.join(path, file)), { recursive: true })
    Fs.writeFileSync(Path.join(path, file), text)
  }
  return path
}

/** Installs packages with npm into a folder. */
export const install = (cwd: string, ...packages: ReadonlyArray<string>): Promise<Output> =>
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...packages], { cwd })

/** Writes a file of a folder, and gives its path. */
export const write = (cwd: string, name: string, text: string): string => {
  const file = Path.join(cwd, name)
  Fs.writeFileSync(file, text)
  return file
}
