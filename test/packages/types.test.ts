/** What the compiler makes of programs against the package's types, in the settings that people have. */
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const { devDependencies } = packageJson

const PROMISE = `import { APIError, SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch } from "nomyo-js/fetch"

export const ask = async (baseUrl: string): Promise<string | null | undefined> => {
  const client = new SecureChatCompletion({ baseUrl, timeout: "30 seconds" })
  try {
    const answer = await client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
    const index: number | undefined = answer.choices[0]?.index
    // @ts-expect-error: an answer is not any
    const wrong: boolean = answer.choices[0]?.index
    await createFetch(client)(\`\${BASE_URL}/models\`)
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
const index = Effect.map(asked, (answer) => answer.choices[0]?.index)
// @ts-expect-error: an answer is not any
export const wrong: Effect.Effect<boolean, unknown, NomyoClient.NomyoClient> = index
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
export const outcomes = Stream.unwrap(
  Effect.map(Nomyo.NomyoClient, (client) => client.createAll(Stream.make(request)))
)
const index = Effect.map(asked, (answer) => answer.choices[0]?.index)
// @ts-expect-error: an answer is not any
export const wrong: Effect.Effect<boolean, unknown, Nomyo.NomyoClient> = index
`

interface TypeScript {
  readonly version: string
  readonly isQuick?: boolean
  readonly tsc: () => Promise<string>
}

const fromRegistry = (version: string): TypeScript => ({
  version,
  tsc: () => Matrix.tool(`typescript-${version}`, `typescript@${version}`, "typescript/bin/tsc")
})

const own: TypeScript = {
  version: devDependencies.typescript,
  isQuick: true,
  tsc: async () => Path.join(root, "node_modules/typescript/bin/tsc")
}

const typescripts = [fromRegistry("5.4.5"), own, fromRegistry("7.0.2")]

const DOM = ["DOM", "DOM.Iterable", "DOM.AsyncIterable"]
const LIB = ["ES2022", "ESNext.Disposable"]

/** Everything strict, and the package's own declarations checked too. */
const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true,
  target: "ES2022" }

const setting = (resolution: "nodenext" | "bundler", hasDom: boolean, isQuick = false) => ({
  name: `${resolution}, ${hasDom ? "with" : "without"} lib dom`,
  isQuick,
  options: {
    ...strict,
    module: resolution === "bundler" ? "esnext" : "nodenext",
    moduleResolution: resolution,
    typeRoots: [Path.join(root, "node_modules/@types")],
    // a page's program has no types of Node, and one of Node's none of a page
    ...(hasDom ? { lib: [...LIB, ...DOM], types: [] } : { lib: LIB, types: ["node"] })
  }
})

const settings = [
  setting("nodenext", true),
  setting("nodenext", false, true),
  setting("bundler", true),
  setting("bundler", false)
]

const projects = [
  { effect: "no effect", packages: [], code: PROMISE, file: "program.ts" },
  { effect: "no effect, CommonJS", packages: [], code: PROMISE, file: "program.cts" },
  { effect: Matrix.effect3, packages: [Matrix.effect3], code: EFFECT3, file: "program.ts" },
  { effect: Matrix.effect4, packages: [Matrix.effect4], code: EFFECT4, file: "program.ts" }
]

/**
 * TypeScript 5.4 has complaints about Effect's own declarations. The other lines of a complaint are indented.
 */
const complaintsOf = (stdout: string): ReadonlyArray<string> =>
  stdout.split("\n").filter((line) => line !== "" && !/^( |\S*node_modules\/effect\/)/.test(line))

describe.each(projects)("a program with $effect", ({ code, file, packages }) => {
  describe.each(Matrix.cells(typescripts))("TypeScript $version", ({ tsc }) => {
    it.each(Matrix.cells(settings))("compiles: $name", async ({ options }) => {
      const cwd = Matrix.folder(await Matrix.installed(...packages), "types", { files: { [file]: code } })
      const config = Matrix.write(cwd, "tsconfig.json",
        JSON.stringify({ compilerOptions: options, files: [file] }))
      const compiled = Matrix.node(cwd, await tsc(), "-p", config)
      const { stdout } = await compiled.catch((error) => error.cause as Matrix.Output)
      expect(complaintsOf(stdout)).toEqual([])
    }, Matrix.TIMEOUT)
  })
})
