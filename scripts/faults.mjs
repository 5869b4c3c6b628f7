/**
 * Runs in full the tests that have many inputs: every fault of the hostile router, 200 kills, large batches,
 * long properties. Writes the tables of `doc/reliability.md`. Takes about 20 minutes.
 */
import { spawnSync } from "node:child_process"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..")

const suites = [
  "test/contract/keyProcesses.test.ts",
  "test/system/faults.test.ts",
  "test/system/load.test.ts",
  "test/system/timing.test.ts",
  "test/unit/interruption.test.ts",
  "test/unit/properties.test.ts"
]

const { status } = spawnSync(
  process.execPath,
  [Path.join(root, "node_modules/vitest/vitest.mjs"), "run", "--no-file-parallelism", ...suites],
  { cwd: root, stdio: "inherit", env: { ...process.env, NOMYO_FAULTS: "full" } }
)
process.exitCode = status ?? 1
