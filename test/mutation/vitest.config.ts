import { Tinypool } from "tinypool"
import { defineConfig } from "vitest/config"
import base from "../../vitest.config.js"

// Vitest would start a thread for every mutant, which takes a second to load what no mutant changes. The
// thread stays, and loads our own modules again: 15 times as fast.
Tinypool.prototype.recycleWorkers = () => Promise.resolve()

/** The suites of the module that is tried: none needs a build or another process. */
export default defineConfig({
  ...base,
  test: {
    include: process.env["MUTATION_SUITES"]!.split(",").map((name) =>
      name.includes("/") ? `test/${name}.test.ts` : `test/**/${name}.test.ts`
    ),
    isolate: false,
    setupFiles: ["test/support/plainIt.ts", "test/mutation/reset.ts"],
    // after Stryker's own
    sequence: { setupFiles: "list" },
    // a mutant that makes a test hang is found out by that, not by Stryker, which would start another process
    testTimeout: 60_000,
    bail: 1,
    // Stryker reports; to print a failure can take minutes
    reporters: [{}]
  }
})
