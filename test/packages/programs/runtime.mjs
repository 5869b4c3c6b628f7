/** For runtimes that run a file: the router and its silent double are the arguments. */
import { chat } from "./chat.mjs"

// one text: Deno colours a boolean
console.log(`${await chat(process.argv[2], process.argv[3])} true`)
