import * as FastCheck from "effect/FastCheck"
import { assert, describe, it } from "vitest"
import * as Base64 from "../../src/internal/codecs/base64.js"
import * as Bytes from "../../src/internal/codecs/bytes.js"

const ascii = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"))
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

describe("base64", () => {
  it("agrees with Node's", () => {
    FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 200 }), (bytes) => {
      const encoded = Base64.encode(bytes)
      assert.strictEqual(text(encoded), Buffer.from(bytes).toString("base64"))
      assert.strictEqual(encoded.length, Base64.encodedLength(bytes.length))
      assert.deepStrictEqual(Base64.decode(encoded), Uint8Array.from(bytes))
      assert.strictEqual(Base64.textOf(bytes), text(encoded))
      assert.deepStrictEqual(Uint8Array.from(Base64.decodePublic(encoded)!), Uint8Array.from(bytes))
    }))
  })

  it("decodes exactly what encoding gives", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ maxLength: 12 }), FastCheck.uint8Array({ maxLength: 8 }),
        (noise, bytes) => {
          for (const candidate of [noise, text(Base64.encode(bytes)) + noise,
            noise + text(Base64.encode(bytes))]) {
            const isCanonical = Buffer.from(candidate, "base64").toString("base64") === candidate
            assert.strictEqual(Base64.decode(Bytes.fromText(candidate)) !== undefined, isCanonical, candidate)
            assert.strictEqual(Base64.decodePublic(Bytes.fromText(candidate)) !== undefined, isCanonical,
              candidate)
            assert.strictEqual(Base64.decodePublic(candidate) !== undefined, isCanonical, candidate)
          }
        })
    )
  })

  it("takes no character for another that has its lower byte", () => {
    assert.isUndefined(Base64.decodePublic("QUJ\u0144"))
    assert.isUndefined(Base64.decodePublic("QUJ\u0144QUJD"))
    assert.deepStrictEqual(Base64.decodePublic("QUJD"), Buffer.from("ABC"))
  })

  it.each(["A", "AA", "AAA", "AA=", "A===", "====", "AA==AA==", "A=AA", "AB==", "AAB=", "AA A", "AA\nA",
    "AA-_", "AAAA="])(
    "refuses %j",
    (candidate) => {
      assert.isUndefined(Base64.decode(ascii(candidate)))
      assert.isUndefined(Base64.decodePublic(ascii(candidate)))
    }
  )
})
