/** Each package manager with and without either Effect: no word about peers, and programs get answers. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import * as Matrix from "./support.js"

/** What package managers say of peers that are missing or do not fit. */
const PEER_WARNING = /peer|ERESOLVE|YN0002|YN0060|YN0086/i

const place = Matrix.usePlace()

interface Project {
  readonly cwd: string
  /** What the package manager said. */
  readonly said: string
}

interface Manager {
  readonly name: string
  readonly isQuick?: boolean
  /** A project with the package and these installed. */
  readonly project: (packages: ReadonlyArray<string>) => Promise<Project>
  readonly node: (cwd: string, ...args: ReadonlyArray<string>) => Promise<Matrix.Output>
}

const npm: Manager = {
  name: "npm",
  isQuick: true,
  project: async (packages) => {
    const installed = await Matrix.installed(...packages)
    const said = Fs.readFileSync(Path.join(installed, Matrix.INSTALL_LOG), "utf8")
    return { cwd: Matrix.folder(installed, "npm"), said }
  },
  node: Matrix.node
}

/** A manager whose command is a script for Node, which one function adds packages with. */
const manager = (
  name: string,
  script: () => Promise<string>,
  { args = [], env = {}, files = {}, node = Matrix.node, spec = (tarball: string) => tarball }: {
    readonly args?: ReadonlyArray<string>
    readonly env?: NodeJS.ProcessEnv
    readonly files?: { readonly [path: string]: string }
    readonly node?: Manager["node"]
    readonly spec?: (tarball: string) => string
  }
): Manager => ({
  name,
  project: async (packages) => {
    const cwd = Matrix.folder(place.directory, name, { files })
    const command = [await script(), "add", ...args, spec(place.tarball), ...packages]
    const { stderr, stdout } = await Matrix.run(process.execPath, command, { cwd, env })
    return { cwd, said: stdout + stderr }
  },
  node
})

const pnpm = () => Matrix.tool("pnpm", "pnpm@10.34.8", "pnpm/bin/pnpm.cjs")
const yarn1 = () => Matrix.tool("yarn1", "yarn@1.22.22", "yarn/bin/yarn.js")
const yarn = () => Matrix.tool("yarn", "@yarnpkg/cli-dist@4.18.1", "@yarnpkg/cli-dist/bin/yarn.js")

/** In CI Yarn refuses to write a lock file unless it is told to. */
const YARN_ENV = { YARN_ENABLE_TELEMETRY: "0", YARN_ENABLE_IMMUTABLE_INSTALLS: "0" }

const yarn4 = (nodeLinker: "pnp" | "node-modules"): Manager =>
  manager(`Yarn 4, ${nodeLinker}`, yarn, {
    env: YARN_ENV,
    // a lock file of its own: the project is no part of one further up
    files: { ".yarnrc.yml": `nodeLinker: ${nodeLinker}\n`, "yarn.lock": "" },
    spec: (tarball) => `nomyo-js@file:${tarball}`,
    node: async (cwd, ...args) =>
      Matrix.run(process.execPath, [await yarn(), "node", ...args], { cwd, env: YARN_ENV })
  })

const managers: ReadonlyArray<Manager> = [
  npm,
  manager("pnpm 10", pnpm, {}),
  yarn4("pnp"),
  yarn4("node-modules"),
  manager("Yarn 1", yarn1, { args: ["--non-interactive"] })
]

const effects = [
  { effect: "no effect", packages: [], programs: ["promise.mjs", "promise.cjs"] },
  { effect: Matrix.effect3, packages: [Matrix.effect3], programs: ["promise.mjs", "effect3.mjs"] },
  { effect: Matrix.effect4, packages: [Matrix.effect4], programs: ["promise.mjs", "effect4.mjs"] }
]

describe.each(Matrix.cells(managers))("$name", ({ node, project }) => {
  const title = "with $effect installs without a warning, and gets answers"

  it.each(effects)(title, async ({ packages, programs }) => {
    const { cwd, said } = await project(packages)
    expect(said).not.toMatch(PEER_WARNING)
    for (const program of programs) {
      expect(Matrix.lastLine(await node(cwd, program, place.router)), program).toBe(Matrix.ANSWER)
    }
  }, Matrix.TIMEOUT)
})

describe("npm", () => {
  it("installs the Promise API alone in less than 8 MB", async () => {
    const modules = Path.join(await Matrix.installed(), "node_modules")
    const names = Fs.readdirSync(modules, { recursive: true, encoding: "utf8" })
    const files = names.map((name) => Fs.lstatSync(Path.join(modules, name))).filter((file) => file.isFile())
    expect(Fs.readdirSync(modules).filter((name) => !name.startsWith("."))).toEqual(["nomyo-js"])
    expect(files.reduce((total, { size }) => total + size, 0)).toBeLessThan(8_000_000)
  }, Matrix.TIMEOUT)

  const isPeerOf = (effect: string) =>
    it(`adds ${effect} before or after nomyo-js without a warning`, async () => {
      for (const order of [[place.tarball, effect], [effect, place.tarball]]) {
        const cwd = Matrix.folder(place.directory, "order")
        for (const spec of order) {
          const { stderr, stdout } = await Matrix.install(cwd, spec)
          expect(stdout + stderr, order.join(" ")).not.toMatch(PEER_WARNING)
        }
      }
    }, Matrix.TIMEOUT)

  if (Matrix.isFull) for (const effect of [Matrix.effect3, Matrix.effect4]) isPeerOf(effect)
})
