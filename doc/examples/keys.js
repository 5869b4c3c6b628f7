// Keeps a password-protected key pair in its own directory, and rotates it.
import { SecureChatCompletion } from "nomyo-js"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

// in production: a directory that only your program's user can read
const keyDir = await mkdtemp(join(tmpdir(), "keys-"))

/** @type {import("nomyo-js").ChatCompletionConfig} */
const options = {
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  keyDir,
  keySize: 2048, // made sooner; the default is 4096
  keyRotationPassword: "correct horse battery staple", // in production: from a secret store
  keyRotationInterval: 60 * 60 * 1000 // an hour
}

{
  const client = new SecureChatCompletion(options)
  const made = await client.ready()
  const rotated = await client.rotateKeys()
  console.log(`${made.modulusLength} bits, replaced: ${made.fingerprint !== rotated.fingerprint}`)
  client.dispose()
}

{
  // another client, or the next start of this program, finds the stored pair
  const client = new SecureChatCompletion(options)
  await client.ready()
  console.log((await readFile(join(keyDir, "private_key.pem"), "utf8")).split("\n")[0])
  client.dispose()
}

await rm(keyDir, { recursive: true })

// With the echo model this prints:
// 2048 bits, replaced: true
// -----BEGIN ENCRYPTED PRIVATE KEY-----
