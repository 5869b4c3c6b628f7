import { assert, describe, it } from "@effect/vitest"
import { createCipheriv, randomBytes } from "node:crypto"
import type { Sealed } from "../../src/Crypto.js"
import { Decryption, Encryption } from "../../src/platform/node/aesGcm.js"

const key = randomBytes(32)
const nonce = Uint8Array.from(randomBytes(12))
const text = Buffer.from("three chunks of text")

const seal = (): Sealed => {
  const cipher = createCipheriv("aes-256-gcm", key, nonce)
  const ciphertext = [text.subarray(0, 3), text.subarray(3, 9), text.subarray(9)].map((chunk) =>
    Uint8Array.from(cipher.update(chunk)))
  cipher.final()
  const tag = Uint8Array.from(cipher.getAuthTag())
  return { encryptedKey: new Uint8Array(0), nonce, length: text.length, ciphertext, tag: () => tag }
}

const open = (sealed: Sealed, prefetched = 0) => {
  const plaintext = Buffer.alloc(sealed.length)
  const decryption = new Decryption(sealed)
  decryption.prefetch(prefetched)
  let steps = 1
  while (!decryption.step(key, plaintext)) steps++
  return { steps, text: plaintext.toString() }
}

describe("Decryption", () => {
  it.each([0, 1, 2, 3, 4, 9])("takes a step for each chunk, with %i of them prefetched", (prefetched) => {
    assert.deepStrictEqual(open(seal(), prefetched), { steps: 3, text: text.toString() })
  })

  it("throws in the step of a chunk that cannot be made, and not while it is prefetched", () => {
    const sealed = seal()
    const ciphertext = function*() {
      yield* [...sealed.ciphertext].slice(0, 1)
      throw new Error("a secret")
    }
    const decryption = new Decryption({ ...sealed, ciphertext: ciphertext() })
    decryption.prefetch(5)
    const plaintext = new Uint8Array(text.length)
    assert.isFalse(decryption.step(key, plaintext))
    assert.throws(() => decryption.step(key, plaintext), RangeError, "ciphertext")
  })

  it.each([
    { why: "a wrong tag", change: { tag: () => new Uint8Array(16) } },
    { why: "a short tag", change: { tag: () => new Uint8Array(12) } },
    { why: "a ciphertext that is too short", change: { length: text.length + 1 } },
    { why: "a ciphertext that is too long", change: { length: text.length - 1 } }
  ])("throws for $why", ({ change }) => {
    assert.throws(() => open({ ...seal(), ...change }))
  })

  it("throws for a chunk after those that the tag is for", () => {
    const sealed = seal()
    const ciphertext = [...sealed.ciphertext, new Uint8Array(0)]
    assert.throws(() => open({ ...sealed, ciphertext }), RangeError, "length")
  })

  it("zeroes its own copy of each chunk, also of one that does not fit", () => {
    const copies: Array<Uint8Array> = []
    const noting = (length: number) => {
      const plaintext = new Uint8Array(length)
      plaintext.set = (chunk, at) => {
        copies.push(chunk as Uint8Array)
        Uint8Array.prototype.set.call(plaintext, chunk, at)
      }
      return plaintext
    }
    const [whole, short] = [new Decryption(seal()), new Decryption(seal())]
    const plaintext = noting(text.length)
    while (!whole.step(key, plaintext));
    assert.strictEqual(Buffer.from(plaintext).toString(), text.toString())
    assert.throws(() => short.step(key, noting(2)), RangeError)
    assert.deepStrictEqual(copies.map((copy) => Buffer.from(copy).equals(Buffer.alloc(copy.length))),
      [true, true, true, true])
    assert.isTrue(copies.every(({ length }) => length > 0))
    short.wipe()
  })

  it("is over when it is wiped, begun or not", () => {
    const decryption = new Decryption(seal())
    decryption.wipe()
    assert.isTrue(decryption.isOver)
    const begun = new Decryption(seal())
    begun.step(key, new Uint8Array(text.length))
    begun.wipe()
    begun.wipe()
    assert.throws(() => begun.step(key, new Uint8Array(text.length)))
  })
})

describe("Encryption", () => {
  it("makes what `node:crypto` makes, and its tag at the end", () => {
    const encryption = new Encryption(key, nonce)
    const ciphertext = [...encryption.encrypt([text.subarray(0, 9), text.subarray(9)], text.length)]
    const expected = seal()
    assert.deepStrictEqual(Buffer.concat(ciphertext), Buffer.concat([...expected.ciphertext]))
    assert.deepStrictEqual(encryption.tag(), expected.tag())
    encryption.wipe()
  })

  it.each([text.length - 1, text.length + 1])("throws where the chunks do not come to %i", (length) => {
    const encryption = new Encryption(key, nonce)
    assert.throws(() => [...encryption.encrypt([text], length)], RangeError, "length")
    encryption.wipe()
  })

  it("gives nothing of a chunk that is too many", () => {
    const encryption = new Encryption(key, nonce)
    const ciphertext = encryption.encrypt([text, text], text.length)
    assert.lengthOf(ciphertext.next().value!, text.length)
    assert.throws(() => ciphertext.next(), RangeError, "length")
    encryption.wipe()
  })

  it("takes no more chunks once it is wiped", () => {
    const encryption = new Encryption(key, nonce)
    let taken = 0
    const chunks = function*() {
      for (;;) {
        taken++
        yield text
      }
    }
    const ciphertext = encryption.encrypt(chunks(), 10 * text.length)
    ciphertext.next()
    encryption.wipe()
    assert.throws(() => ciphertext.next(), RangeError, "length")
    assert.strictEqual(taken, 1)
  })
})
