/**
 * Optional native libraries, from the packages that the application has installed. Node's own search would go
 * on to `/`, `$HOME` and `NODE_PATH`, where anybody may have put a package of that name.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs"
import { dirname, join, sep } from "node:path"

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

const ancestors = (dir: string): ReadonlyArray<string> =>
  dirname(dir) === dir ? [dir] : [dir, ...ancestors(dirname(dir))]

const isPackage = (dir: string): boolean => existsSync(join(dir, "package.json"))

const isWorkspace = (dir: string): boolean => {
  try {
    return existsSync(join(dir, "pnpm-workspace.yaml")) ||
      "workspaces" in JSON.parse(readFileSync(join(dir, "package.json"), "utf8"))
  } catch {
    return false
  }
}

/**
 * The directories whose `node_modules` are the application's own: from its program up to its `package.json`,
 * and the root of its workspace. A program that is an installed package, such as a test runner, belongs to
 * the application that it is installed for.
 */
const ownDirectories = (): ReadonlyArray<string> => {
  const [start = ""] = dirname(application()).split(`${sep}node_modules${sep}`)
  const above = ancestors(start)
  const root = above.findIndex(isPackage)
  return root < 0 ? [start] : [...above.slice(0, root + 1), ...above.slice(root + 1).filter(isWorkspace)]
}

/**
 * A package that the application has installed. Throws if there is none.
 *
 * Node's `createRequire` is looked up at run time: webpack reads a call of an imported one, and warns that it
 * cannot follow it.
 */
export const requireInstalled = (name: string): unknown => {
  const paths = ownDirectories().map((dir) => join(dir, "node_modules", name))
  const path = paths.find((path) => existsSync(path))
  if (path === undefined) throw new Error(`${name} is not installed`)
  return process.getBuiltinModule("node:module").createRequire(application())(path)
}
