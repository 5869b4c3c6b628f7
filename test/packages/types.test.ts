/** What the compiler makes of programs against the package's types, in the settings that people have. */
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const { devDependencies } = packageJson
const TYPES_NODE = `@types/node@${devDependencies["@types/node"]}`

const PROMISE = `import { APIError, SecureChatCompletion } from "nomyo-js"

export const ask = async (baseUrl: string): Promise<string | null | undefined> => {
  const client = new SecureChatCompletion({ baseUrl, timeout: "30 seconds" })
  try {
    const answer = await client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
    const index: number | undefined = answer.choices[0]?.index
    // @ts-expect-error: an answer is not any
    const wrong: boolean = answer.choices[0]?.index
    return index === 0 || wrong ? answer.choices[0]?.message.content : undefined
  } catch (error) {
    return error instanceof APIError ? String(error.statusCode) : undefined
  } finally {
    client.dispose()
  }
}
`
const EFFECT3 = `import * as Effect from "effect/Effect"
import { RateLimitError } from "nomyo-js"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const asked = Effect.flatMap(NomyoClient.NomyoClient, (client) =>
  client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] }))

export const program: Effect.Effect<string, unknown> = asked.pipe(
  Effect.map((answer) => String(answer.choices[0]?.message.content)),
  Effect.catchTag("RateLimitError", (error: RateLimitError) => Effect.succeed(String(error.retryAfter))),
  Effect.provide(NomyoNode.layer({ timeout: "30 seconds" }))
)
// @ts-expect-error: an answer is not any
export const wrong: Effect.Effect<boolean, unknown, NomyoClient.NomyoClient> = Effect.map(asked, (answer) => answer.choices[0]?.index)
`
const EFFECT4 = `import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { RateLimitError } from "nomyo-js"
import * as Nomyo from "nomyo-js/effect4"

const request = { model: "m", messages: [{ role: "user" as const, content: "Hello!" }] }
const asked = Effect.flatMap(Nomyo.NomyoClient, (client) => client.create(request))

export const program: Effect.Effect<string, unknown> = asked.pipe(
  Effect.map((answer) => String(answer.choices[0]?.message.content)),
  Effect.catchTag("RateLimitError", (error: RateLimitError) => Effect.succeed(String(error.retryAfter))),
  Effect.provide(Nomyo.layer({ timeout: "30 seconds" }))
)
export const outcomes = Stream.unwrap(Effect.map(Nomyo.NomyoClient, (client) => client.createAll(Stream.make(request))))
// @ts-expect-error: an answer is not any
export const wrong: Effect.Effect<boolean, unknown, Nomyo.NomyoClient> = Effect.map(asked, (answer) => answer.choices[0]?.index)
`

const typescripts: ReadonlyArray<{ readonly version: string; readonly tsc: () => Promise<string>; readonly isQuick?: boolean }> = [
  {
    version: "5.4.5",
    tsc: async () => Path.join(await Matrix.tools("typescript-5.4", "typescript@5.4.5"), "node_modules/typescript/bin/tsc")
  },
  { version: devDependencies.typescript, isQuick: true, tsc: async () => Path.join(root, "node_modules/typescript/bin/tsc") },
  {
    version: "7.0.2",
    tsc: async () => Path.join(await Matrix.tools("typescript-7.0", "typescript@7.0.2"), "node_modules/typescript/bin/tsc")
  }
]

const DOM = ["DOM", "DOM.Iterable", "DOM.AsyncIterable"]
const LIB = ["ES2022", "ESNext.Disposable"]

/** Everything strict, and the package's own declarations checked too. */
const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, target: "ES2022" }

const settings = (["nodenext", "bundler"] as const).flatMap((resolution) =>
  [true, false].map((hasDom) => ({
    name: `${resolution}, ${hasDom ? "with" : "without"} lib dom`,
    options: {
      ...strict,
      module: resolution === "bundler" ? "esnext" : "nodenext",
      moduleResolution: resolution,
      // a page's program has no types of Node, and one of Node's none of a page
      ...(hasDom ? { lib: [...LIB, ...DOM], types: [] } : { lib: LIB, types: ["node"] })
    }
  })))

const place = Matrix.usePlace()

const projects = [
  { effect: "no effect", packages: [], code: PROMISE, file: "program.ts" },
  { effect: "no effect, CommonJS", packages: [], code: PROMISE, file: "program.cts" },
  { effect: "effect 3", packages: [`effect@${devDependencies.effect}`], code: EFFECT3, file: "program.ts" },
  { effect: "effect 4", packages: [devDependencies.effect4.replace("npm:", "")], code: EFFECT4, file: "program.ts" }
]

describe.each(projects)("a program with $effect", ({ code, effect, file, packages }) => {
  let cwd: Promise<string> | undefined
  const project = async (): Promise<string> => {
    const path = Matrix.folder(place, `types ${effect}`, { files: { [file]: code } })
    await Matrix.install(path, place.tarball, TYPES_NODE, ...packages)
    return path
  }

  describe.each(Matrix.cells(typescripts))("TypeScript $version", ({ tsc, version }) => {
    it.each(settings)("compiles: $name", async ({ name, options }) => {
      cwd ??= project()
      const config = Matrix.write(
        await cwd,
        `tsconfig-${version}-${name.replaceAll(/\W+/g, "-")}.json`,
        JSON.stringify({ compilerOptions: options, files: [file] })
      )
      const { stdout } = await Matrix.node(await cwd, await tsc(), "-p", config).catch((error) => error.cause as Matrix.Output)
      // TypeScript 5.4 has complaints about Effect's own declarations
      expect(stdout.split("\n").filter((line) => line !== "" && !/^( |node_modules\/effect\/)/.test(line))).toEqual([])
    }, Matrix.TIMEOUT)
  })
})
