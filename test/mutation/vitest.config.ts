import { defineConfig } from "vitest/config"
import base from "../../vitest.config.js"

/** The suites that mutants are tried against: those that need no build, no browser and no other process. */
export default defineConfig({
  ...base,
  test: {
    include: ["vectors", "internal", "KeyRing", "RouterKey", "Transport", "NomyoClient", "properties", "throttle"].map((name) => `test/${name}.test.ts`),
    testTimeout: 30_000,
    // a mutant that makes every test fail is found out by the first
    bail: 1
  }
})
