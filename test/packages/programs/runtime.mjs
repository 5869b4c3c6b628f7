/** For runtimes that run a file: the router and its silent double are the arguments. */
import { chat, streamedChat } from "./chat.mjs"

const said = await chat(process.argv[2], process.argv[3])
await streamedChat(process.argv[2])
// one text: Deno colours a boolean
console.log(`${said} true`)
