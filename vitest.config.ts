import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: {
    alias: { "#platform": fileURLToPath(new URL("./src/platform/node/index.ts", import.meta.url)) }
  },
  test: {
    include: ["test/**/*.test.ts", "doc/examples/*.test.ts"],
    globalSetup: "test/support/build.ts",
    // most of the time goes to other processes and to keys: one worker would leave a core idle
    maxWorkers: 2,
    minWorkers: 2,
    // what takes a second alone may take a minute on a busy machine; a test that hangs is found all the same
    testTimeout: 120_000,
    hookTimeout: 600_000,
    coverage: {
      provider: "v8",
      include: ["src/**"],
      // what runs in other processes only is not counted: the command line (test/system/cli.test.ts), and what needs a browser (test/system/browser.test.ts)
      exclude: ["src/cli/!(serve).ts", "src/platform/browser/**"],
      // vitest's own summary stays the last line
      reporter: [],
      thresholds: { lines: 95, branches: 90 }
    },
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"] }
  }
})
