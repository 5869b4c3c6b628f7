/**
 * Builds what is out of date: `node scripts/build/main.mjs [step…]`, all steps by default. A step runs again if a file that it reads has
 * changed, or if a file that it has written is missing or was touched, so that any command may be the first on a fresh clone.
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { buildBundles } from "./bundles.mjs"
import { buildCommand } from "./command.mjs"
import { buildLibrary } from "./library.mjs"
import { buildNotices } from "./notices.mjs"
import { cache, filesOf, root } from "./tools.mjs"

/** Read by every step. */
const COMMON = ["package.json", "package-lock.json", "scripts/build"]

/**
 * Each step gets the records of the steps it needs. It gives `outputs`, the files that it wrote, and whatever else
 * the steps after it read from its record.
 */
const steps = {
  library: { inputs: ["src", "tsconfig.json", "tsconfig.build.json"], needs: [], run: buildLibrary },
  bundles: { inputs: ["src"], needs: ["library"], run: buildBundles },
  command: { inputs: ["src"], needs: [], run: buildCommand },
  notices: { inputs: ["src", "LICENSE"], needs: ["bundles", "command"], run: buildNotices }
}

/** One digest of the names and contents of these files. */
const digest = (paths) => {
  const hash = createHash("sha256")
  for (const file of paths.flatMap((path) => filesOf(Path.join(root, path)))) {
    hash.update(`${Path.relative(root, file)}\0`).update(createHash("sha256").update(Fs.readFileSync(file)).digest())
  }
  return hash.digest("hex")
}

const recordFile = (name) => Path.join(cache, `${name}.json`)

const readRecord = (name) => {
  try {
    return JSON.parse(Fs.readFileSync(recordFile(name), "utf8"))
  } catch {
    return undefined
  }
}

/** What changes when a file is written again: its size and its time. */
const stateOf = (file) => {
  const status = Fs.statSync(Path.join(root, file), { throwIfNoEntry: false })
  return status === undefined ? "missing" : `${status.size} ${status.mtimeMs}`
}

const isCurrent = (record, inputs) =>
  record?.inputs === inputs && Object.entries(record.written).every(([file, state]) => stateOf(file) === state)

/** A record appears whole or not at all: a build that was stopped counts as none. */
const writeRecord = (name, record) => {
  Fs.mkdirSync(cache, { recursive: true })
  const file = recordFile(name)
  Fs.writeFileSync(`${file}.${process.pid}`, JSON.stringify(record))
  Fs.renameSync(`${file}.${process.pid}`, file)
}

const runStep = async (name, inputs, needed) => {
  const before = readRecord(name)
  Fs.rmSync(recordFile(name), { force: true })
  // a module that is gone leaves nothing behind
  for (const file of Object.keys(before?.written ?? {})) Fs.rmSync(Path.join(root, file), { force: true })
  const { outputs, ...more } = await steps[name].run(needed)
  const written = Object.fromEntries(outputs.map((file) => [file, stateOf(file)]))
  // of this run: a step that reads this one's outputs runs again too
  writeRecord(name, { inputs, written, run: Date.now(), ...more })
}

/** Brings a step up to date, and those that it needs before it. */
const update = async (name) => {
  const step = steps[name]
  const needed = {}
  for (const other of step.needs) needed[other] = await update(other)
  const runs = Object.values(needed).map(({ run }) => run).join(" ")
  const inputs = `${digest([...COMMON, ...step.inputs])} ${runs}`
  if (!isCurrent(readRecord(name), inputs)) await runStep(name, inputs, needed)
  return readRecord(name)
}

export const build = async (names = Object.keys(steps)) => {
  // without a record nobody knows which of these files belong
  if (Object.keys(steps).every((name) => readRecord(name) === undefined)) Fs.rmSync(Path.join(root, "dist"), { recursive: true, force: true })
  for (const name of names) await update(name)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const names = process.argv.slice(2)
  const unknown = names.find((name) => !Object.hasOwn(steps, name))
  if (unknown !== undefined) throw new Error(`There is no step ${unknown}: the steps are ${Object.keys(steps).join(", ")}`)
  await build(names.length === 0 ? undefined : names).catch(({ message }) => {
    process.stderr.write(`${message}\n`)
    process.exitCode = 1
  })
}
