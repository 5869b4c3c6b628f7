/**
 * Refuses an Effect that is older than what the library is tested with. Loaded before all else by the
 * entries that need Effect.
 */
import { getCurrentVersion } from "effect/ModuleVersion"

const OLDEST = [3, 22, 4]

const isTooOld = (version: string): boolean => {
  const parts = version.split(/[.-]/).map(Number)
  const at = OLDEST.findIndex((part, i) => part !== parts[i])
  return at >= 0 && parts[at]! < OLDEST[at]!
}

if (isTooOld(getCurrentVersion())) {
  throw new Error(
    `nomyo-js needs effect ${
      OLDEST.join(".")
    } or later of version 3, and found ${getCurrentVersion()}: run npm install effect@3`
  )
}
