// Lends a secret buffer to a callback, and then zeroes it, also after an error.
import { getMemoryProtectionInfo, SecureByteContext } from "nomyo-js"

const secret = new TextEncoder().encode("correct horse battery staple")

const length = await new SecureByteContext(secret).use(async (bytes) => bytes.length)

console.log(`${length} bytes, zeroed: ${secret.every((byte) => byte === 0)}`)
console.log(`zeroing is on: ${getMemoryProtectionInfo().method !== "none"}`)

// With the echo model this prints:
// 28 bytes, zeroed: true
// zeroing is on: true
