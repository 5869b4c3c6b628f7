import * as FastCheck from "effect/FastCheck"
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto"
import { assert, describe, it } from "vitest"
import * as Bytes from "../../src/internal/codecs/bytes.js"
import * as Der from "../../src/internal/codecs/der.js"
import * as Pem from "../../src/internal/codecs/pem.js"

const ascii = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"))
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

describe("DER and PEM", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const pkcs8 = Uint8Array.from(privateKey.export({ type: "pkcs8", format: "der" }))

  it("finds the public key in a private one", () => {
    assert.deepStrictEqual(Der.spkiOfPkcs8(pkcs8),
      Uint8Array.from(publicKey.export({ type: "spki", format: "der" })))
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    assert.isUndefined(Der.spkiOfPkcs8(Uint8Array.from(ec.export({ type: "pkcs8", format: "der" }))))
  })

  it("wraps PKCS#1 as OpenSSL does", () => {
    const pkcs1 = Uint8Array.from(privateKey.export({ type: "pkcs1", format: "der" }))
    assert.deepStrictEqual(Der.pkcs8OfPkcs1(pkcs1), pkcs8)
  })

  it("writes PEM as OpenSSL does", () => {
    assert.strictEqual(text(Pem.encode("PRIVATE KEY", pkcs8)),
      privateKey.export({ type: "pkcs8", format: "pem" }))
    assert.strictEqual(
      createPublicKey(createPrivateKey(text(Pem.encode("PRIVATE KEY", pkcs8)))).asymmetricKeyType,
      "rsa"
    )
  })

  it("reads PEM with any line ends, among other text", () => {
    const pem = text(Pem.encode("PRIVATE KEY", pkcs8))
    for (const variant of [pem, pem.replaceAll("\n", "\r\n"), pem.replaceAll("\n", "\r"),
      `Subject: me\n${pem}\ntrailer`, ` ${pem.trim()}`]) {
      assert.deepStrictEqual(Pem.decode(ascii(variant), "PUBLIC KEY", "PRIVATE KEY"), { label: "PRIVATE KEY",
        der: pkcs8 })
    }
    assert.isUndefined(Pem.decode(ascii(pem), "PUBLIC KEY"))
    assert.isUndefined(Pem.decode(ascii(pem.slice(0, -10)), "PRIVATE KEY"))
    assert.isUndefined(Pem.decode(ascii(pem.replace("M", "*")), "PRIVATE KEY"))
  })

  it("never throws on arbitrary bytes", () => {
    FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), (noise) => {
      Der.elements(noise)
      Der.spkiOfPkcs8(noise)
      Pem.decode(Uint8Array.from(noise), "PRIVATE KEY")
      Pem.decode(
        Bytes.concat([ascii("-----BEGIN PRIVATE KEY-----"), noise, ascii("-----END PRIVATE KEY-----")]),
        "PRIVATE KEY"
      )
      const mutated = Uint8Array.from(pkcs8)
      noise.forEach((byte, i) => {
        mutated[(byte * 7 + i * 13) % 300] = byte
      })
      Der.spkiOfPkcs8(mutated)
    }))
  })
})
