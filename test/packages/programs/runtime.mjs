/** For runtimes that run a file. */
import { chat } from "./chat.mjs"

await chat(process.argv[2], process.argv[3])
const { Bun, Deno } = globalThis
console.log(`ok ${Bun?.version ?? Deno?.version.deno ?? process.versions.node}`)
