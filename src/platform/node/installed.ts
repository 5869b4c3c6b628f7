/** Optional native libraries, from the packages that the application has installed. */
import { realpathSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

/**
 * The program that runs, or a name in the working directory where there is none (`node -e`). Not this
 * module: in a bundle it is somewhere else, and `import.meta` is unknown to CommonJS, which bundlers and
 * Jest make of it.
 */
const application = (): string => {
  const [, program] = process.argv
  try {
    if (program !== undefined) return realpathSync(program)
  } catch {
    // a program that is no file, as in an executable that holds its own
  }
  return join(process.cwd(), "program.js")
}

/** A package that the application has installed. Throws if there is none. */
export const requireInstalled = (name: string): unknown => createRequire(application())(name)
