/**
 * Runs the steps of a build that are out of date. A step runs again if a file that it reads has changed, or
 * if a file that it has written is missing or was touched, so that any command may be the first on a fresh
 * clone.
 */
import { createHash, randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { filesOf } from "./tools.mjs"

/** What changes when a file is written again: its size and its time. */
const stateOf = (file) => {
  const status = Fs.statSync(file, { throwIfNoEntry: false })
  return status === undefined ? "missing" : `${status.size} ${status.mtimeMs}`
}

/** One digest of the names and contents of these files. */
const digest = (root, paths) => {
  const hash = createHash("sha256")
  for (const file of paths.flatMap((path) => filesOf(Path.join(root, path)))) {
    const content = createHash("sha256").update(Fs.readFileSync(file)).digest()
    hash.update(`${Path.relative(root, file)}\0`).update(content)
  }
  return hash.digest("hex")
}

/** What each step has read and written, kept in a folder between two builds. */
const records = (folder) => {
  const fileOf = (name) => Path.join(folder, `${name}.json`)
  return {
    read: (name) => {
      try {
        return JSON.parse(Fs.readFileSync(fileOf(name), "utf8"))
      } catch {
        return undefined
      }
    },
    /** A record appears whole or not at all: a build that was stopped counts as none. */
    write: (name, record) => {
      Fs.mkdirSync(folder, { recursive: true })
      Fs.writeFileSync(`${fileOf(name)}.${process.pid}`, JSON.stringify(record))
      Fs.renameSync(`${fileOf(name)}.${process.pid}`, fileOf(name))
    },
    remove: (name) => Fs.rmSync(fileOf(name), { force: true })
  }
}

/**
 * A build of the project in `root`, whose steps all write below `output` and keep their records in `cache`.
 *
 * Each step has `inputs`, the paths that it reads beside those in `common`; `needs`, the steps before it; and
 * `run`, which gets the records of those. It gives `outputs`, the files that it wrote, and whatever else the
 * steps after it read from its record.
 */
export const makeBuild = ({ cache, common, output, root, steps }) => {
  const record = records(cache)
  const inRoot = (file) => Path.join(root, file)

  const isCurrent = (name, inputs) => {
    const before = record.read(name)
    return before?.inputs === inputs &&
      Object.entries(before.written).every(([file, state]) => stateOf(inRoot(file)) === state)
  }

  const runStep = async (name, inputs, needed) => {
    const before = record.read(name)
    record.remove(name)
    // a module that is gone leaves nothing behind
    for (const file of Object.keys(before?.written ?? {})) Fs.rmSync(inRoot(file), { force: true })
    const { outputs, ...more } = await steps[name].run(needed)
    const written = Object.fromEntries(outputs.map((file) => [file, stateOf(inRoot(file))]))
    // of this run: a step that reads this one's outputs runs again too
    record.write(name, { inputs, written, run: randomUUID(), ...more })
  }

  /** Brings a step up to date, and those that it needs before it. */
  const update = async (name) => {
    const step = steps[name]
    const needed = {}
    for (const other of step.needs) needed[other] = await update(other)
    const runs = Object.values(needed).map(({ run }) => run).join(" ")
    const inputs = `${digest(root, [...common, ...step.inputs])} ${runs}`
    if (!isCurrent(name, inputs)) await runStep(name, inputs, needed)
    return record.read(name)
  }

  return async (names = Object.keys(steps)) => {
    const unknown = names.find((name) => !Object.hasOwn(steps, name))
    if (unknown !== undefined) {
      throw new Error(`There is no step ${unknown}: the steps are ${Object.keys(steps).join(", ")}`)
    }
    // without a record nobody knows which of these files belong
    const isFirst = Object.keys(steps).every((name) => record.read(name) === undefined)
    if (isFirst) Fs.rmSync(inRoot(output), { recursive: true, force: true })
    for (const name of names) await update(name)
  }
}
