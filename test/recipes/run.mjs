/**
 * Runs the recipes of `doc/drop-in.md` whose packages are too heavy for this project's own dependencies: in a
 * project in a cache folder, with the built package, through the development router. Run `npm run build`
 * first.
 */
import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { startTap } from "../support/tap.mjs"

const run = promisify(execFile)
const here = import.meta.dirname
const root = Path.join(here, "../..")
const project = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-recipes")
const recipes = ["agents", "instructor", "llamaindex", "mastra"]
const TIMEOUT = 120_000

/** Words of the prompts, the tools and the answers. */
const markers = ["Lübeck", "get_weather", "The tool says", "You said", "chat.completion"]

/** Ways in which a text may lie about in a stream of bytes. */
const disguises = (text) => {
  const bytes = Buffer.from(text)
  const base64 = [0, 1, 2].map((offset) =>
    bytes.subarray(offset, offset + 9).toString("base64").replace(/=+$/, "")
  )
  return [bytes.toString("latin1"), encodeURIComponent(text), bytes.toString("hex"),
    ...base64.filter((form) => form.length >= 8)]
}

const install = async () => {
  Fs.mkdirSync(project, { recursive: true })
  for (const file of ["package.json", "package-lock.json", "loopback.mjs",
    ...recipes.map((name) => `${name}.mjs`)]) {
    Fs.copyFileSync(Path.join(here, file), Path.join(project, file))
  }
  await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: project })
  Fs.symlinkSync(root, Path.join(project, "node_modules/nomyo-js"), "dir")
}

const startRouter = async () => {
  const child = spawn(process.execPath, [Path.join(root, "dist/cli/nomyo.cjs"), "router", "--port", "0"], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  const url = await new Promise((resolve, reject) => {
    const lines = createInterface(child.stdout)
    lines.on("line",
      (line) => line.startsWith("listening on ") && resolve(line.slice("listening on ".length)))
    lines.on("close", () => reject(new Error("The router did not start")))
  })
  return { url, stop: () => child.kill() }
}

/** What a recipe promises to print, below its code. */
const promisedBy = (name) => {
  const [, lines = ""] =
    /^\/\/ With the echo model this prints:\n((?:\/\/.*\n)+)$/m.exec(
      Fs.readFileSync(Path.join(here, `${name}.mjs`), "utf8")
    ) ?? []
  return lines.replaceAll(/^\/\/ ?/gm, "")
}

const isOwnWarning = (line) => line.includes("talks plain HTTP")

const runRecipe = async (name, tap) => {
  const { stderr, stdout } = await run(process.execPath, ["--import", "./loopback.mjs", `${name}.mjs`], {
    cwd: project,
    timeout: TIMEOUT,
    env: { ...process.env, NOMYO_BASE_URL: tap.url, NOMYO_ALLOW_HTTP: "true",
      NOMYO_API_KEY: "sk-recipes-0123456789" }
  })
  const printed = stdout.split("\n").filter((line) => !isOwnWarning(line)).join("\n")
  const strays = stderr.split("\n").filter((line) => line.startsWith("stray connection"))
  return [
    ...(printed === promisedBy(name) ? [] : [`printed ${JSON.stringify(printed)}`]),
    ...new Set(strays)
  ]
}

await install()
const router = await startRouter()
const tap = await startTap(router.url)
const failures = []
for (const name of recipes) {
  const wrong = await runRecipe(name, tap).catch((error) => [String(error.stderr ?? error)])
  console.log(`${name}: ${wrong.length === 0 ? "as promised" : wrong.join("; ")}`)
  failures.push(...wrong)
}
const bytes = tap.bytes()
const leaks = markers.filter((marker) => disguises(marker).some((form) => bytes.includes(form)))
console.log(
  `${bytes.length} bytes between client and router${
    leaks.length === 0 ? ", no marker among them" : `, with ${leaks.join(", ")}`
  }`
)
tap.stop()
router.stop()
process.exit(failures.length + leaks.length === 0 && bytes.includes("hybrid-aes256-rsa4096") ? 0 : 1)
