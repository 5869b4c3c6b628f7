import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto"
import * as Base64 from "../../src/internal/codecs/base64.js"
import * as Bytes from "../../src/internal/codecs/bytes.js"
import * as Der from "../../src/internal/codecs/der.js"
import * as Pem from "../../src/internal/codecs/pem.js"
import { makeFairSemaphore } from "../../src/internal/fibers/fairSemaphore.js"

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
    FastCheck.assert(FastCheck.property(FastCheck.string({ maxLength: 12 }), FastCheck.uint8Array({ maxLength: 8 }), (noise, bytes) => {
      for (const candidate of [noise, text(Base64.encode(bytes)) + noise, noise + text(Base64.encode(bytes))]) {
        const isCanonical = Buffer.from(candidate, "base64").toString("base64") === candidate
        assert.strictEqual(Base64.decode(Bytes.fromText(candidate)) !== undefined, isCanonical, candidate)
        assert.strictEqual(Base64.decodePublic(Bytes.fromText(candidate)) !== undefined, isCanonical, candidate)
        assert.strictEqual(Base64.decodePublic(candidate) !== undefined, isCanonical, candidate)
      }
    }))
  })

  it("takes no character for another that has its lower byte", () => {
    assert.isUndefined(Base64.decodePublic("QUJ\u0144"))
    assert.isUndefined(Base64.decodePublic("QUJ\u0144QUJD"))
    assert.deepStrictEqual(Base64.decodePublic("QUJD"), Buffer.from("ABC"))
  })

  it.each(["A", "AA", "AAA", "AA=", "A===", "====", "AA==AA==", "A=AA", "AB==", "AAB=", "AA A", "AA\nA", "AA-_", "AAAA="])(
    "refuses %j",
    (candidate) => {
      assert.isUndefined(Base64.decode(ascii(candidate)))
      assert.isUndefined(Base64.decodePublic(ascii(candidate)))
    }
  )
})

describe("DER and PEM", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const pkcs8 = Uint8Array.from(privateKey.export({ type: "pkcs8", format: "der" }))

  it("finds the public key in a private one", () => {
    assert.deepStrictEqual(Der.spkiOfPkcs8(pkcs8), Uint8Array.from(publicKey.export({ type: "spki", format: "der" })))
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    assert.isUndefined(Der.spkiOfPkcs8(Uint8Array.from(ec.export({ type: "pkcs8", format: "der" }))))
  })

  it("wraps PKCS#1 as OpenSSL does", () => {
    const pkcs1 = Uint8Array.from(privateKey.export({ type: "pkcs1", format: "der" }))
    assert.deepStrictEqual(Der.pkcs8OfPkcs1(pkcs1), pkcs8)
  })

  it("writes PEM as OpenSSL does", () => {
    assert.strictEqual(text(Pem.encode("PRIVATE KEY", pkcs8)), privateKey.export({ type: "pkcs8", format: "pem" }))
    assert.strictEqual(createPublicKey(createPrivateKey(text(Pem.encode("PRIVATE KEY", pkcs8)))).asymmetricKeyType, "rsa")
  })

  it("reads PEM with any line ends, among other text", () => {
    const pem = text(Pem.encode("PRIVATE KEY", pkcs8))
    for (const variant of [pem, pem.replaceAll("\n", "\r\n"), pem.replaceAll("\n", "\r"), `Subject: me\n${pem}\ntrailer`, ` ${pem.trim()}`]) {
      assert.deepStrictEqual(Pem.decode(ascii(variant), "PUBLIC KEY", "PRIVATE KEY"), { label: "PRIVATE KEY", der: pkcs8 })
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
      Pem.decode(Bytes.concat([ascii("-----BEGIN PRIVATE KEY-----"), noise, ascii("-----END PRIVATE KEY-----")]), "PRIVATE KEY")
      const mutated = Uint8Array.from(pkcs8)
      noise.forEach((byte, i) => {
        mutated[(byte * 7 + i * 13) % 300] = byte
      })
      Der.spkiOfPkcs8(mutated)
    }))
  })
})

describe("permits", () => {
  it.effect("are lent first come, first served, and to no more than there are", () =>
    Effect.gen(function*() {
      const withPermit = makeFairSemaphore(2)
      const order: Array<number> = []
      const doors = yield* Effect.replicateEffect(Deferred.make<void>(), 6)
      const fibers = yield* Effect.forEach(doors, (door, i) =>
        Effect.fork(withPermit(Effect.zipRight(Effect.sync(() => order.push(i)), Deferred.await(door)))))
      const settle = Effect.repeatN(Effect.yieldNow(), 20)
      yield* settle
      assert.deepStrictEqual(order, [0, 1])
      // one that waits leaves, one that works leaves, one fails
      yield* Fiber.interrupt(fibers[2]!)
      yield* Fiber.interrupt(fibers[0]!)
      yield* settle
      assert.deepStrictEqual(order, [0, 1, 3])
      yield* Deferred.die(doors[3]!, "no")
      yield* settle
      assert.deepStrictEqual(order, [0, 1, 3, 4])
      for (const door of doors) yield* Deferred.succeed(door, undefined)
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(order, [0, 1, 3, 4, 5])
    }))

  it.live("all come back, whenever those who have them or wait for them are interrupted", () =>
    Effect.promise(() =>
      FastCheck.assert(FastCheck.asyncProperty(
        FastCheck.array(FastCheck.record({ work: FastCheck.nat(4), patience: FastCheck.nat(8), fails: FastCheck.boolean() }), { maxLength: 12 }),
        FastCheck.integer({ min: 1, max: 3 }),
        (callers, count) =>
          Effect.runPromise(Effect.gen(function*() {
            const withPermit = makeFairSemaphore(count)
            let [working, most] = [0, 0]
            const turns = (n: number) => Effect.repeatN(Effect.yieldNow(), n)
            yield* Effect.forEach(callers, ({ fails, patience, work }) =>
              Effect.gen(function*() {
                const fiber = yield* Effect.fork(withPermit(Effect.acquireUseRelease(
                  Effect.sync(() => (most = Math.max(most, ++working))),
                  () => Effect.zipRight(turns(work), fails ? Effect.fail("no") : Effect.void),
                  () => Effect.sync(() => working--)
                )))
                yield* turns(patience)
                yield* Fiber.interrupt(fiber)
              }), { concurrency: "unbounded" })
            assert.isAtMost(most, count)
            assert.strictEqual(working, 0)
            // as many as there were can be had at once, and no one more
            const all = yield* Deferred.make<void>()
            const again = yield* Effect.forEach(Array.from({ length: count + 1 }), () =>
              Effect.fork(withPermit(Effect.zipRight(Effect.sync(() => working++), Deferred.await(all)))))
            yield* turns(20)
            assert.strictEqual(working, count)
            yield* Deferred.succeed(all, undefined)
            yield* Fiber.awaitAll(again)
          }))
      ), { numRuns: 200 })
    ))
})
