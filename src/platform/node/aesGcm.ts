/** AES-256-GCM by `node:crypto`, chunk by chunk. */
import * as NodeCrypto from "node:crypto"
import { type Sealed, TAG_LENGTH } from "../../Crypto.js"
import * as Bytes from "../../internal/codecs/bytes.js"

const ALGORITHM = "aes-256-gcm"

/** A cipher in use. OpenSSL keeps a copy of the AES key in it until `final`. */
class Cipher<C extends { readonly final: () => Buffer }> {
  isOver = false

  constructor(readonly cipher: C) {}

  /** Ends the cipher, once. Throws if the tag of a decipher is wrong or missing. */
  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.cipher.final()
  }

  /** Ends the cipher and clears OpenSSL's copy of the key, whatever has happened before. */
  wipe(): void {
    try {
      this.end()
    } catch {
      // nobody waits for the tag any more
    }
  }
}

/** One encryption. */
export class Encryption {
  readonly #cipher: Cipher<NodeCrypto.CipherGCM>

  constructor(aesKey: Uint8Array, nonce: Uint8Array) {
    this.#cipher = new Cipher(NodeCrypto.createCipheriv(ALGORITHM, aesKey, nonce))
  }

  /**
   * The ciphertext of a plaintext's chunks, made as you take it. Throws a `RangeError` if it does not come to
   * `length`, or if the encryption has been wiped: its window may belong to others.
   */
  *encrypt(plaintext: Iterable<Uint8Array>, length: number): Generator<Uint8Array<ArrayBuffer>, void> {
    const chunks = plaintext[Symbol.iterator]()
    let at = 0
    while (!this.#cipher.isOver) {
      const next = chunks.next()
      if (next.done === true) break
      at += next.value.length
      if (at > length) break
      yield Bytes.plain(this.#cipher.cipher.update(next.value))
    }
    if (at !== length) throw new RangeError("length")
    this.#cipher.end()
  }

  /** The 16-byte tag, after the last chunk. */
  tag(): Uint8Array<ArrayBuffer> {
    return Bytes.plain(this.#cipher.cipher.getAuthTag())
  }

  /** Clears the AES key. */
  wipe(): void {
    this.#cipher.wipe()
  }
}

/** One decryption, in steps of a chunk. Nothing of the plaintext may be used before the last step. */
export class Decryption {
  readonly #sealed: Sealed
  readonly #chunks: Iterator<Uint8Array>
  readonly #prefetched: Array<IteratorResult<Uint8Array>> = []
  #isBroken = false
  #cipher: Cipher<NodeCrypto.DecipherGCM> | undefined
  #at = 0
  /** Whether it has been wiped. */
  isOver = false

  constructor(sealed: Sealed) {
    this.#sealed = sealed
    this.#chunks = sealed.ciphertext[Symbol.iterator]()
  }

  /**
   * Takes chunks before they are needed. If one cannot be made, the step that needs it throws, and not this.
   */
  prefetch(count: number): void {
    try {
      while (this.#prefetched.length < count) this.#prefetched.push(this.#chunks.next())
    } catch {
      this.#isBroken = true
    }
  }

  #next(): IteratorResult<Uint8Array> {
    const prefetched = this.#prefetched.shift()
    if (prefetched !== undefined) return prefetched
    if (this.#isBroken) throw new RangeError("ciphertext")
    return this.#chunks.next()
  }

  /**
   * Decrypts one chunk into its place in `plaintext`. Returns whether it was the last and the tag is right.
   * Throws if anything is wrong. `aesKey` is read by the first step.
   */
  step(aesKey: Uint8Array, plaintext: Uint8Array): boolean {
    this.#cipher ??= new Cipher(
      NodeCrypto.createDecipheriv(ALGORITHM, aesKey, this.#sealed.nonce, { authTagLength: TAG_LENGTH })
    )
    const next = this.#next()
    if (next.done !== true) {
      this.#write(this.#cipher.cipher.update(next.value), plaintext)
      if (this.#at < this.#sealed.length) return false
      // a tag may exist only after the end of the chunks has been seen
      if (this.#next().done !== true) throw new RangeError("length")
    }
    if (this.#at !== this.#sealed.length) throw new RangeError("length")
    this.#cipher.cipher.setAuthTag(this.#sealed.tag())
    this.#cipher.end()
    return true
  }

  #write(chunk: Buffer, plaintext: Uint8Array): void {
    try {
      plaintext.set(chunk, this.#at)
    } finally {
      chunk.fill(0)
    }
    this.#at += chunk.length
  }

  /** Clears the AES key. Nothing is decrypted afterwards. */
  wipe(): void {
    this.isOver = true
    this.#cipher?.wipe()
  }
}
