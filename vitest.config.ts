import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

/**
 * Four times what the slowest test needs on two busy cores, in milliseconds. A test that hangs still fails.
 */
const TIMEOUT = 120_000

/** The contract of key directories among processes, which it starts and kills. */
const processes = ["test/contract/keyProcesses.test.ts"]

export default defineConfig({
  resolve: {
    alias: { "#platform": fileURLToPath(new URL("./src/platform/node/index.ts", import.meta.url)) }
  },
  test: {
    // most of the time goes to other processes and to keys: a worker for each core would leave cores idle
    maxWorkers: 3,
    minWorkers: 3,
    // the files of a worker share what they import, which took a third of the unit tests' time
    isolate: false,
    setupFiles: "test/support/plainIt.ts",
    // tests are concurrent where they wait for other processes
    maxConcurrency: 16,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{unit,contract}/**/*.test.ts"],
          exclude: processes,
          testTimeout: TIMEOUT,
          hookTimeout: TIMEOUT
        }
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/{system,packages}/**/*.test.ts", "doc/examples/*.test.ts", ...processes],
          globalSetup: "test/support/build.ts",
          testTimeout: TIMEOUT,
          // a hook may pack the package, and install tools from the registry
          hookTimeout: 5 * TIMEOUT
        }
      }
    ],
    coverage: {
      provider: "v8",
      include: ["src/**"],
      // not counted, since other processes run it: the command line (test/system/cli.test.ts), and what needs
      // a browser (test/system/{browser,examplePage}.test.ts)
      exclude: ["src/cli/!(serve).ts", "src/cli/doctor/**", "src/page/**", "src/platform/browser/**"],
      // vitest's own summary stays the last line
      reporter: [],
      thresholds: { lines: 95, branches: 90 }
    }
  }
})
