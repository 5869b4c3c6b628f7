/** Each package manager, with and without either Effect: it installs without a word about peers, and its programs get answers. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import * as Matrix from "./support.js"

/** What package managers say of peers that are missing or do not fit. */
const PEER_WARNING = /peer|ERESOLVE|YN0002|YN0060|YN0086/i

interface Manager {
  readonly name: string
  readonly isQuick?: boolean
  /** Installs packages into a folder. */
  readonly add: (cwd: string, packages: ReadonlyArray<string>) => Promise<Matrix.Output>
  readonly node: (cwd: string, ...args: ReadonlyArray<string>) => Promise<Matrix.Output>
}

const yarn = async () => Path.join(await Matrix.tools("yarn", "@yarnpkg/cli-dist@4.18.1"), "node_modules/@yarnpkg/cli-dist/bin/yarn.js")

/** Yarn 4 keeps what it has downloaded in a folder of its own, whatever the home is. */
const YARN_ENV = { YARN_ENABLE_TELEMETRY: "0", YARN_ENABLE_IMMUTABLE_INSTALLS: "0" }

const yarn4 = (nodeLinker: "pnp" | "node-modules"): Manager => ({
  name: `Yarn 4, ${nodeLinker}`,
  add: async (cwd, packages) => {
    Fs.writeFileSync(Path.join(cwd, ".yarnrc.yml"), `nodeLinker: ${nodeLinker}\n`)
    Fs.writeFileSync(Path.join(cwd, "yarn.lock"), "")
    const named = packages.map((spec) => Path.isAbsolute(spec) ? `nomyo-js@file:${spec}` : spec)
    return Matrix.run(process.execPath, [await yarn(), "add", ...named], { cwd, env: YARN_ENV })
  },
  node: async (cwd, ...args) => Matrix.run(process.execPath, [await yarn(), "node", ...args], { cwd, env: YARN_ENV })
})

const managers: ReadonlyArray<Manager> = [
  { name: "npm", isQuick: true, add: (cwd, packages) => Matrix.install(cwd, ...packages), node: Matrix.node },
  {
    name: "pnpm 10",
    add: async (cwd, packages) => {
      const pnpm = Path.join(await Matrix.tools("pnpm", "pnpm@10.34.8"), "node_modules/pnpm/bin/pnpm.cjs")
      return Matrix.run(process.execPath, [pnpm, "add", ...packages], { cwd })
    },
    node: Matrix.node
  },
  yarn4("pnp"),
  yarn4("node-modules"),
  {
    name: "Yarn 1",
    add: async (cwd, packages) => {
      const yarn = Path.join(await Matrix.tools("yarn1", "yarn@1.22.22"), "node_modules/yarn/bin/yarn.js")
      return Matrix.run(process.execPath, [yarn, "add", "--non-interactive", ...packages], { cwd })
    },
    node: Matrix.node
  }
]

const { devDependencies } = packageJson
const effects = [
  { effect: "no effect", packages: [], programs: ["promise.mjs", "promise.cjs"] },
  { effect: `effect ${devDependencies.effect}`, packages: [`effect@${devDependencies.effect}`], programs: ["promise.mjs", "effect3.mjs"] },
  {
    effect: devDependencies.effect4.replace("npm:effect@", "effect "),
    packages: [devDependencies.effect4.replace("npm:", "")],
    programs: ["promise.mjs", "effect4.mjs"]
  }
]

const place = Matrix.usePlace()

describe.each(Matrix.cells(managers))("$name", ({ add, name, node }) => {
  it.each(effects)("with $effect installs without a warning, and gets answers", async ({ packages, programs }) => {
    const cwd = Matrix.folder(place, name)
    const { stderr, stdout } = await add(cwd, [place.tarball, ...packages])
    expect(stdout + stderr).not.toMatch(PEER_WARNING)
    for (const program of programs) expect(Matrix.lastLine(await node(cwd, program, place.router)), program).toBe(Matrix.ANSWER)
  }, Matrix.TIMEOUT)
})

describe("npm", () => {
  it("installs the Promise API alone in less than 8 MB", async () => {
    const cwd = Matrix.folder(place, "size")
    await Matrix.install(cwd, place.tarball)
    const names = Fs.readdirSync(Path.join(cwd, "node_modules"), { recursive: true, encoding: "utf8" })
    const sizes = names.map((name) => Fs.lstatSync(Path.join(cwd, "node_modules", name))).filter((file) => file.isFile())
    expect(Fs.readdirSync(Path.join(cwd, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["nomyo-js"])
    expect(sizes.reduce((total, { size }) => total + size, 0)).toBeLessThan(8_000_000)
  }, Matrix.TIMEOUT)
})
