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
    testTimeout: 30_000,
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"] }
  }
})
