/** Compiles the modules into `dist`, and marks the calls that bundlers may drop. */
import { transformFileSync } from "@babel/core"
import { buildSync } from "esbuild"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { writeCheckedEntries } from "./checked.mjs"
import { edit, packagesOf, root } from "./tools.mjs"

/** Prints the compiler's complaints, and gives the files that it wrote, relative to the project's folder. */
const compile = () => {
  const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
  try {
    const stdout = execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--listEmittedFiles"], {
      cwd: root,
      encoding: "utf8"
    })
    return [...stdout.matchAll(/^TSFILE: (.+)$/gm)].map(([, file]) =>
      Path.relative(root, file).replaceAll("\\", "/")
    )
  } catch (error) {
    process.stdout.write(error.stdout)
    throw new Error("The library does not compile", { cause: error })
  }
}

/** Calls at the top of a module whose result is unused may be dropped by a bundler: it has to be told. */
const annotate = (file) => {
  const { code, map } = transformFileSync(Path.join(root, file), {
    inputSourceMap: true,
    sourceMaps: true,
    plugins: ["annotate-pure-calls"],
    configFile: false,
    babelrc: false
  })
  Fs.writeFileSync(Path.join(root, file), `${code}\n//# sourceMappingURL=${Path.basename(file)}.map`)
  Fs.writeFileSync(Path.join(root, `${file}.map`), JSON.stringify(map))
}

/**
 * TypeScript before 5.7 knows no `Uint8Array<ArrayBuffer>`. `slice` returns one where it exists, and a
 * `Uint8Array` before that.
 */
const forOlderTypeScript = (declarations) =>
  declarations.replaceAll("Uint8Array<ArrayBuffer>", "ReturnType<Uint8Array[\"slice\"]>")

/**
 * Effect 4 is installed here beside Effect 3, under an alias: in an app it is called `effect`. And the
 * Promise classes are this package's own bundle there, which needs no Effect 3.
 */
const asInstalled = (code) =>
  code.replaceAll(/"effect4(?=[/"])/g, "\"effect").replaceAll("\"../promise/index.js\"", "\"nomyo-js\"")

/** Puts the packages that a module imports into it, so that nobody has to install them. */
const inline = (file) => {
  const { metafile } = buildSync({
    absWorkingDir: root,
    entryPoints: [file],
    outfile: file,
    allowOverwrite: true,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    metafile: true
  })
  const used = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs))
  return packagesOf(used.flatMap(([module, { bytesInOutput }]) => bytesInOutput > 0 ? [module] : []))
}

export const buildLibrary = () => {
  const outputs = compile()
  const packages = inline("dist/protocol2/mlKem.js")
  for (const file of outputs.filter((file) => file.endsWith(".js"))) annotate(file)
  for (const file of outputs.filter((file) => file.endsWith(".d.ts")))
    edit(Path.join(root, file), forOlderTypeScript)
  for (const file of outputs.filter((file) => file.startsWith("dist/effect4/")))
    edit(Path.join(root, file), asInstalled)
  return { outputs: [...outputs, ...writeCheckedEntries()], packages }
}
