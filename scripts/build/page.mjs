/**
 * Bundles the page at `/` of `nomyo router` and `nomyo proxy`, beside the module that it takes the client
 * from.
 */
import { build } from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { packagesOf, root } from "./tools.mjs"

const FOLDER = "dist/page"
const FILES = ["index.html", "chat.css", "icon.svg"]

/** The page uses the library's own page module, as any page does. */
const libraryByUrl = {
  name: "library-by-url",
  setup: ({ onResolve }) =>
    onResolve({ filter: /\/promise\/index\.js$/ }, () => ({ path: "./nomyo.js", external: true }))
}

export const buildPage = async () => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["src/page/main.ts"],
    outfile: Path.join(root, FOLDER, "chat.js"),
    bundle: true,
    minify: true,
    target: "es2022",
    format: "esm",
    logLevel: "warning",
    legalComments: "inline",
    metafile: true,
    plugins: [libraryByUrl],
    // the variant for browsers decodes entities by way of innerHTML
    conditions: ["worker"]
  })
  for (const file of FILES) Fs.copyFileSync(Path.join(root, "src/page", file), Path.join(root, FOLDER, file))
  return {
    outputs: ["chat.js", ...FILES].map((file) => `${FOLDER}/${file}`),
    packages: packagesOf(Object.keys(metafile.inputs))
  }
}
