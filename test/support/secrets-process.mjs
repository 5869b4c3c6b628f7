/**
 * A process to look into: sends the payload that it reads from standard input a few times, disposes of its
 * client, says so, and stays.
 */
import * as Fs from "node:fs"
import { getMemoryProtectionInfo, SecureByteContext,
  SecureCompletionClient } from "../../dist/bundle/node/index.js"

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
await new SecureByteContext(payload.buffer, secureMemory).use(async () => {
  for (let i = 0; i < 10; i++) await client.sendSecureRequest(payload.subarray(0, length), `id-${i}`)
})
// once more, so that it is not only the traces of long ago that are looked for
await client.loadKeys(`${keyDir}/private_key.pem`, undefined,
  keyRotationPassword === "" ? undefined : keyRotationPassword)
await client[Symbol.asyncDispose]()
console.log(getMemoryProtectionInfo().method)
setInterval(() => undefined, 60_000)
