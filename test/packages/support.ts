/** What the matrix stands on: the packed package, projects with it installed, tools, and a router. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, inject } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import { root } from "../support/pages.js"
import * as Servers from "../support/servers.js"

const { devDependencies } = packageJson

/** The versions of Effect that the matrix installs. */
export const effect3 = `effect@${devDependencies.effect}`
export const effect4 = devDependencies.effect4.replace("npm:", "")

/** Whether all cells run, or only those that are quick. */
export const isFull = process.env.NOMYO_PACKAGES === "full"

/** The cells that run now. */
export const cells = <Cell extends { readonly isQuick?: boolean }>(all: ReadonlyArray<Cell>) =>
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

/** A child is no test of this runner's, and no child of npm's. */
const childEnv = (more: NodeJS.ProcessEnv | undefined): NodeJS.ProcessEnv => {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", NODE_OPTIONS: "",
    ...more }
  for (const name of Object.keys(env)) if (/^(npm_|VITEST|TEST$|NODE_ENV$)/i.test(name)) delete env[name]
  return env
}

/** Runs a file, and fails with all that it printed. */
export const run = async (
  file: string,
  args: ReadonlyArray<string>,
  { cwd, env }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv }
): Promise<Output> => {
  const options = { cwd, env: childEnv(env), timeout: TIMEOUT, maxBuffer: 1 << 28,
    killSignal: "SIGKILL" } as const
  try {
    return await promisify(execFile)(file, [...args], options)
  } catch (error) {
    const { message, stderr, stdout } = error as Error & Output
    throw new Error(`${message}\n${stdout}\n${stderr}`, { cause: error })
  }
}

export const node = (cwd: string, ...args: ReadonlyArray<string>): Promise<Output> =>
  run(process.execPath, args, { cwd })

const npm = (cwd: string, ...args: ReadonlyArray<string>): Promise<Output> => run("npm", args, { cwd })

/** The folder that has these packages in its `node_modules`, installed once and kept. */
const tools = async (name: string, ...packages: ReadonlyArray<string>): Promise<string> => {
  const folder = Path.join(cache, name)
  const stamp = Path.join(folder, "installed.txt")
  if (Fs.existsSync(stamp) && Fs.readFileSync(stamp, "utf8") === packages.join(" ")) return folder
  Fs.mkdirSync(folder, { recursive: true })
  Fs.writeFileSync(Path.join(folder, "package.json"), "{\"private\":true}")
  // another platform's binaries are asked for by name: npm would refuse them without `--force`
  const flags = ["--force", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]
  await npm(folder, "install", ...flags, ...packages)
  Fs.writeFileSync(stamp, packages.join(" "))
  return folder
}

/** A file of a tool that is installed once and kept. */
export const tool = async (name: string, spec: string, file: string): Promise<string> =>
  Path.join(await tools(name, spec), "node_modules", file)

/** Where the test files share what they make. */
const directory = inject("packages")

/** A folder that all test files share. Two of them may make it at the same time: one of the two is kept. */
const shared = async (name: string, make: (folder: string) => Promise<unknown>): Promise<string> => {
  const folder = Path.join(directory, name.replaceAll(/[^\w.-]+/g, "-"))
  if (Fs.existsSync(folder)) return folder
  const own = Fs.mkdtempSync(`${folder}.`)
  await make(own)
  try {
    Fs.renameSync(own, folder)
  } catch {
    Fs.rmSync(own, { recursive: true })
  }
  return folder
}

export interface Packed {
  readonly tarball: string
  /** The paths of the files in it. */
  readonly files: ReadonlyArray<string>
}

/** The package as npm publishes it. */
export const pack = async (): Promise<Packed> => {
  const list = "packed.json"
  const folder = await shared("packed", async (path) => {
    // whoever runs the tests has built it
    const flags = ["--ignore-scripts", "--json", "--pack-destination", path]
    Fs.writeFileSync(Path.join(path, list), (await npm(root, "pack", ...flags)).stdout)
  })
  const [{ filename, files }] = JSON.parse(Fs.readFileSync(Path.join(folder, list), "utf8"))
  return {
    tarball: Path.join(folder, filename),
    files: files.map(({ path }: { readonly path: string }) => path)
  }
}

/** Installs packages with npm into a folder. */
export const install = (cwd: string, ...packages: ReadonlyArray<string>): Promise<Output> =>
  npm(cwd, "install", "--prefer-offline", "--no-audit", "--no-fund", ...packages)

/** What `installed` keeps of npm's words. */
export const INSTALL_LOG = "npm-install.log"

/** A project that all test files share, with the package and these installed by npm. Programs go below it. */
export const installed = async (...packages: ReadonlyArray<string>): Promise<string> => {
  const { tarball } = await pack()
  return shared(["with", ...packages].join("-"), async (path) => {
    Fs.writeFileSync(Path.join(path, "package.json"), "{\"private\":true,\"type\":\"module\"}")
    const { stderr, stdout } = await install(path, tarball, ...packages)
    Fs.writeFileSync(Path.join(path, INSTALL_LOG), stdout + stderr)
  })
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
  const place = { directory, tarball: "", router: "" }
  let close = (): Promise<void> => Promise.resolve()
  beforeAll(async () => {
    place.tarball = (await pack()).tarball
    const router = await Servers.scoped(Servers.router())
    place.router = router.value
    close = router.close
  }, TIMEOUT)
  afterAll(() => close())
  return place
}

/** A new folder below another, with a `package.json`, the programs of the matrix, and more files. */
export const folder = (
  parent: string,
  name: string,
  options: { readonly manifest?: object; readonly files?: { readonly [path: string]: string } } = {}
): string => {
  const path = Fs.mkdtempSync(Path.join(parent, `${name.replaceAll(/[^\w.-]+/g, "-")}-`))
  const manifest = { name: "an-application", version: "1.0.0", private: true, type: "module",
    ...options.manifest }
  Fs.cpSync(PROGRAMS, path, { recursive: true })
  for (const [file, text] of Object.entries({ "package.json": JSON.stringify(manifest), ...options.files })) {
    Fs.mkdirSync(Path.dirname(Path.join(path, file)), { recursive: true })
    Fs.writeFileSync(Path.join(path, file), text)
  }
  return path
}

/** Writes a file of a folder, and gives its path. */
export const write = (cwd: string, name: string, text: string): string => {
  const file = Path.join(cwd, name)
  Fs.writeFileSync(file, text)
  return file
}
