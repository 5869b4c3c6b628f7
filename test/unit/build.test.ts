/** The order of the build's steps, and which of them run: with small steps that write real files. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { makeBuild } from "../../scripts/build/steps.mjs"

let root: string
/** The steps that ran since `built` last told. */
let ran: Array<string>

beforeEach(() => {
  root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-build-"))
  ran = []
  write("src/a.txt", "a")
  write("src/b.txt", "b")
  write("package.json", "{}")
})
afterEach(() => Fs.rmSync(root, { recursive: true }))

const write = (file: string, text: string): void => {
  Fs.mkdirSync(Path.dirname(Path.join(root, file)), { recursive: true })
  Fs.writeFileSync(Path.join(root, file), text)
}

const outputs = (): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, "dist")).toSorted()

/** A step that writes one file for each of `files`. */
const step = (name: string, needs: ReadonlyArray<string>, files: () => ReadonlyArray<string>) => ({
  inputs: ["src"],
  needs,
  run: () => {
    ran.push(name)
    const written = files().map((file) => `dist/${file}`)
    for (const file of written) write(file, name)
    return { outputs: written }
  }
})

const sources = () => Fs.readdirSync(Path.join(root, "src"))

const project = () => ({ root, cache: Path.join(root, "cache"), common: ["package.json"], output: "dist" })

/** Builds with a new process's memory, which is none, and tells which steps ran. */
const built = async (...names: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const build = makeBuild({
    ...project(),
    steps: {
      library: step("library", [], sources),
      bundles: step("bundles", ["library"], () => ["bundle.js"]),
      command: step("command", [], () => ["command.cjs"])
    }
  })
  await build(names.length === 0 ? undefined : names)
  return ran.splice(0)
}

describe("a build", () => {
  it("is whole after `npm start`, which needs the command alone, and `npm test`", async () => {
    expect(await built("command")).toEqual(["command"])
    expect(outputs()).toEqual(["command.cjs"])
    expect(await built()).toEqual(["library", "bundles"])
    expect(outputs()).toEqual(["a.txt", "b.txt", "bundle.js", "command.cjs"])
  })

  it("builds nothing in `npm start` after `npm test`, nor in a second `npm test`", async () => {
    expect(await built()).toEqual(["library", "bundles", "command"])
    expect(await built("command")).toEqual([])
    expect(await built()).toEqual([])
  })

  it("runs a step again whose output is missing or was touched, and those that read it", async () => {
    await built()
    Fs.rmSync(Path.join(root, "dist/a.txt"))
    expect(await built()).toEqual(["library", "bundles"])
    write("dist/command.cjs", "somebody else's")
    expect(await built()).toEqual(["command"])
  })

  it("runs again after a change of what it reads, and removes what it no longer makes", async () => {
    await built()
    Fs.rmSync(Path.join(root, "src/b.txt"))
    expect(await built()).toEqual(["library", "bundles", "command"])
    expect(outputs()).toEqual(["a.txt", "bundle.js", "command.cjs"])
    write("package.json", "{ }")
    expect(await built()).toEqual(["library", "bundles", "command"])
  })

  it("clears what is there without a record: nobody knows whose it is", async () => {
    write("dist/old.js", "of another version")
    await built("command")
    expect(outputs()).toEqual(["command.cjs"])
  })

  it("runs a step again that has failed", async () => {
    await built()
    write("src/a.txt", "changed")
    const run = () => Promise.reject(new Error("no space"))
    const failing = makeBuild({ ...project(), steps: { command: { inputs: ["src"], needs: [], run } } })
    await expect(failing()).rejects.toThrow("no space")
    write("src/a.txt", "a")
    expect(await built("command")).toEqual(["command"])
  })

  it("refuses a step that there is not, and names those that there are", async () => {
    const message = "There is no step libary: the steps are library, bundles, command"
    await expect(built("libary")).rejects.toThrow(message)
  })
})
