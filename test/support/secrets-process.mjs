/** A process to look into: sends the payload that it reads from standard input once, disposes of its client, says so, and stays. */
import * as Fs from "node:fs"
import { getMemoryProtectionInfo, SecureByteContext, SecureCompletionClient } from "../../dist/promise/node.js"

const [routerUrl, keyDir, keyRotationPassword, secure] = process.argv.slice(2)
const secureMemory = secure === "true"

const payload = new Uint8Array(1024 * 1024)
let length = 0
for (let read; (read = Fs.readSync(0, payload, length, payload.length - length, null)) > 0;) length += read

const client = new SecureCompletionClient({
  routerUrl,
  allowHttp: true,
  keyDir,
  keyRotationPassword: keyRotationPassword === "" ? undefined : keyRotationPassword,
  secureMemory
})
await new SecureByteContext(payload.buffer, secureMemory).use(() => client.sendSecureRequest(payload.subarray(0, length), "id"))
if (secureMemory) await client.rotateKeys()
await client[Symbol.asyncDispose]()
console.log(getMemoryProtectionInfo().method)
setInterval(() => undefined, 60_000)
