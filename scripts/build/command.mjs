/** Bundles the `nomyo` command with all that it needs into one CommonJS file. */
import { build } from "esbuild"
import * as Path from "node:path"
import { packagesOf, root } from "./tools.mjs"

const OUTPUT = "dist/cli/nomyo.cjs"

export const buildCommand = async () => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["src/cli/main.ts"],
    outfile: Path.join(root, OUTPUT),
    bundle: true,
    minifySyntax: true,
    platform: "node",
    target: "node20.19",
    format: "cjs",
    logLevel: "warning",
    metafile: true,
    // CommonJS has no `import.meta`
    define: { "import.meta.url": "importMetaUrl" },
    banner: {
      js: `#!/usr/bin/env node\nconst importMetaUrl = require("node:url").pathToFileURL(__filename).href`
    }
  })
  return { outputs: [OUTPUT], packages: packagesOf(Object.keys(metafile.inputs)) }
}
