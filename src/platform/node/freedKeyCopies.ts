/**
 * A remedy for OpenSSL 3.0, which frees a copy of a private key's DER without clearing it (`der2key_decode`,
 * in a buffer a third larger than the DER). Node 20 and 22 have OpenSSL 3.0.
 */
import { importPkcs8 } from "../../internal/rsaKeys.js"

/** Buffers of each size. 16 found the freed block in two of three processes, 64 in all of 15. */
const BUFFERS = 256
/** In bytes. The next allocation of a good fit reuses a smaller block. */
const SMALLEST_BLOCK = 128

/**
 * Overwrites the freed copy of a DER. New buffers come from the same allocator, zeroed. Those of the block's
 * length, and of what is left of it after other allocations, are likely to get the memory where the copy was.
 */
const overwriteFreed = (derLength: number): void => {
  const buffers: Array<Buffer> = []
  for (let size = Math.ceil(derLength * 4 / 3); size > SMALLEST_BLOCK; size = Math.floor(size * 3 / 4)) {
    // a bundler would drop `new ArrayBuffer` as dead code
    for (let i = 0; i < BUFFERS; i++) buffers.push(Buffer.alloc(size))
  }
}

const importAndOverwrite: typeof importPkcs8 = async (pkcs8, extractable) => {
  const importing = importPkcs8(pkcs8, extractable)
  // Node 20 has read the DER by now, before other allocations can take a part of the block
  overwriteFreed(pkcs8.length)
  const key = await importing
  overwriteFreed(pkcs8.length)
  return key
}

/** Reads a PKCS#8 and leaves no copy of it in freed memory. */
export const importPkcs8Cleanly: typeof importPkcs8 = process.versions.openssl.startsWith("3.0.")
  ? importAndOverwrite
  : importPkcs8
