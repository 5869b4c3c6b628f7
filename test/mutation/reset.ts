import { globalValue } from "effect/GlobalValue"
import { beforeEach, inject, vi } from "vitest"

// a mutant may be in what a module does when it is loaded
vi.resetModules()
// or in the default of a reference, which Effect keeps
beforeEach(() => globalValue("effect/Context/defaultValueCache", () => new Map()).clear())
// the last mutant is over
const stryker = Reflect.get(globalThis, inject("globalNamespace" as never)) as { hitCount: number
  activeMutant?: string | undefined }
stryker.hitCount = 0
if (inject("mutantActivation" as never) !== "static") stryker.activeMutant = undefined
