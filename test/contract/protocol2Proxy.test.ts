import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as NodeCrypto from "node:crypto"
import { KeyStore, NomyoClient } from "../../src/index.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import type { Opened } from "../../src/router/Model.js"
import { activeProxy, type Given, type Passing } from "../support/activeProxy.js"
import { hello } from "../support/calls.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)

const create = Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello))
const isPost = ({ method }: Passing) => method === "POST"

/** A model that notes what it is asked. */
const noting = () => {
  const asked: Array<Opened> = []
  const model = (opened: Opened) =>
    Effect.sync(() => {
      asked.push(opened)
      return {
        choices: [{ index: 0, message: { role: "assistant", content: "SECRET" }, finish_reason: "stop" }]
      }
    })
  return { asked, model }
}

const flipped = (bytes: Uint8Array, at: number) => {
  const changed = Uint8Array.from(bytes)
  changed[at]! ^= 1
  return changed
}

layer(services, { excludeTestServices: true })("a proxy that ends TLS", (it) => {
  it.scoped("reads the answer of protocol 1.0, by a key of its own in place of the client's", () =>
    Effect.gen(function*() {
      const { asked, model } = noting()
      const { privateKey, publicKey } = NodeCrypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
      const pem = String(publicKey.export({ type: "spki", format: "pem" }))
      let read = ""
      const target = yield* Effect.orDie(Servers.router({ model }))
      const url = yield* activeProxy(target, async (passing, forward) => {
        if (!isPost(passing)) return forward(passing)
        const headers = { ...passing.headers, "x-public-key": encodeURIComponent(pem) }
        const given = await forward({ ...passing, headers })
        const envelope = JSON.parse(Buffer.from(given.body).toString())
        const decode = (name: string) => Buffer.from(envelope.encrypted_payload[name], "base64")
        const key = NodeCrypto.privateDecrypt(
          { key: privateKey, oaepHash: "sha256", padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING },
          Buffer.from(envelope.encrypted_aes_key, "base64")
        )
        const cipher = NodeCrypto.createDecipheriv("aes-256-gcm", key, decode("nonce"))
        read = cipher.update(decode("ciphertext")).toString()
        return given
      })
      const client = NomyoClient.layer({ baseUrl: url, allowHttp: true, keySize: 2048, maxRetries: 0 })
      yield* Effect.flip(Effect.provide(create, Layer.provide(client, KeyStore.layerMemory)))
      assert.lengthOf(asked, 1)
      assert.include(read, "SECRET")
    }))

  it.scoped("gets nothing of protocol 2, though it repeats and changes requests", () =>
    Effect.gen(function*() {
      const { asked, model } = noting()
      const { pin, url: target } = yield* router({ model })
      const seen: Array<Given> = []
      const url = yield* activeProxy(target, async (passing, forward) => {
        const given = await forward(passing)
        seen.push(given)
        // once again, and with one bit changed
        if (isPost(passing)) {
          seen.push(await forward(passing))
          seen.push(
            await forward({ ...passing, body: Buffer.from(flipped(passing.body, passing.body.length - 1)) })
          )
        }
        return given
      })
      const client = clientOf(url, { routerKeyConfigFingerprints: [pin] })
      const answer = yield* Effect.provide(create, client)
      assert.strictEqual(answer.choices[0]?.message.content, "SECRET")
      assert.lengthOf(asked, 1, "the repeated request is not answered")
      assert.deepStrictEqual(seen.map(({ status }) => status), [200, 200, 200, 400])
      for (const { body } of seen) assert.notInclude(Buffer.from(body).toString("latin1"), "SECRET")
    }))

  it.scoped("cannot take the tier away from protocol 2, nor put an API key into it", () =>
    Effect.gen(function*() {
      const { asked, model } = noting()
      const { url: target } = yield* router({ model })
      const url = yield* activeProxy(target, (passing, forward) => {
        const { "x-security-tier": _, ...headers } = passing.headers
        return forward({ ...passing,
          headers: { ...headers, "x-security-tier": "standard", authorization: "Bearer other" } })
      })
      yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
        client.create({ ...hello, security_tier: "maximum" })).pipe(Effect.provide(clientOf(url)))
      assert.strictEqual(asked[0]?.securityTier, "maximum")
    }))

  it.scoped("cannot swap the router's key, if that is pinned", () =>
    Effect.gen(function*() {
      const own = yield* router()
      const { pin, url: target } = yield* router()
      let posts = 0
      const url = yield* activeProxy(target, async (passing, forward) => {
        if (isPost(passing)) posts++
        const response = isPost(passing) ? undefined : await fetch(`${own.url}${passing.url}`)
        if (response === undefined) return forward(passing)
        const headers = { "content-type": response.headers.get("content-type") ?? "" }
        return { status: 200, headers, body: new Uint8Array(await response.arrayBuffer()) }
      })
      const error = yield* Effect.flip(
        Effect.provide(create, clientOf(url, { routerKeyConfigFingerprints: [pin] }))
      )
      assert.deepInclude(error, { _tag: "SecurityError", reason: "router-key-pin" })
      assert.strictEqual(posts, 0)
    }))

  it.scoped("cannot lead a client of protocol 2 down to 1.0, whatever it hides", () =>
    Effect.gen(function*() {
      const target = yield* Effect.orDie(Servers.router())
      const noKeys = { _tag: "SecurityError", reason: "router-key" } as const
      for (const status of [404, 405, 400, 415, 500]) {
        const paths = new Set<string>()
        const url = yield* activeProxy(target, async ({ url }) => {
          paths.add(url)
          return { status, body: Buffer.from("protocol 1.0 only") }
        })
        const error = yield* Effect.flip(Effect.provide(create, clientOf(url)))
        assert.deepInclude(error, [404, 405].includes(status)
          ? noKeys
          : { statusCode: status, authenticated: false })
        assert.deepStrictEqual([...paths], ["/.well-known/ohttp-gateway"])
      }
    }))

  it.scoped("cannot forge an answer of protocol 2, nor an error that the client believes", () =>
    Effect.gen(function*() {
      const { url: target } = yield* router()
      const forged = async (status: number, type: string, text: string) => ({
        status,
        headers: { "content-type": type },
        body: Buffer.from(text)
      })
      const completion = JSON.stringify({ choices: [{ message: { role: "assistant", content: "forged" } }] })
      const expected = [
        [() => forged(200, "application/json", completion), { _tag: "SecurityError", reason: "envelope" }],
        [() => forged(200, "message/ohttp-chunked-res", completion.repeat(3)), { _tag: "SecurityError",
          reason: "envelope" }],
        [() => forged(401, "application/json", "{}"), { _tag: "AuthenticationError", authenticated: false }],
        [() => forged(400, "application/json", "{}"), { _tag: "InvalidRequestError", authenticated: false }]
      ] as const
      for (const [forge, error] of expected) {
        const url = yield* activeProxy(target, (passing, forward) =>
          isPost(passing) ? forge() : forward(passing))
        assert.deepInclude(yield* Effect.flip(Effect.provide(create, clientOf(url))), error)
      }
    }))

  it.scoped("cannot cut a streamed answer short without an error, nor change, drop or repeat a part of it", () =>
    Effect.gen(function*() {
      const { url: target } = yield* router()
      const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)
      const tampered: ReadonlyArray<(bytes: Uint8Array) => Uint8Array> = [
        half,
        (bytes) => bytes.subarray(0, bytes.length - 1),
        (bytes) => flipped(bytes, bytes.length >> 1),
        (bytes) => Buffer.concat([bytes, bytes.subarray(32)]),
        (bytes) => Buffer.concat([half(bytes), bytes.subarray((bytes.length >> 1) + 300)])
      ]
      for (const tamper of tampered) {
        const url = yield* activeProxy(target, async (passing, forward) => {
          const given = await forward(passing)
          return isPost(passing) ? { ...given, body: tamper(given.body) } : given
        })
        const exit = yield* Effect.exit(
          Effect.provide(Stream.runCollect(NomyoClient.stream(hello)), clientOf(url))
        )
        assert.deepInclude(Exit.isFailure(exit) && exit.cause._tag === "Fail" ? exit.cause.error : exit, {
          _tag: "SecurityError",
          reason: "envelope"
        })
      }
    }))
})
