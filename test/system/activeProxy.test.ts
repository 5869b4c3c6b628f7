/**
 * What a proxy that ends TLS gets of protocol 1.0. README and the security guide state it: if this changes,
 * so must they.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { buffer } from "node:stream/consumers"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Crypto, type KeyPair, type PublicKey } from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import { nomyo } from "../support/cli.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const PROMPT = "SENTINEL of the prompt"
const ANSWER = `You said: ${PROMPT}`

/** The text of an envelope, if a key opens it. */
const read = (pair: KeyPair, envelope: Uint8Array<ArrayBuffer>): Promise<string | undefined> =>
  Effect.runPromise(
    Envelope.open(pair.privateKey, envelope, ({ plaintext }) =>
      Effect.succeed(new TextDecoder().decode(plaintext))).pipe(
      Effect.orElseSucceed(() => undefined),
      Effect.provide(Servers.platform)
    )
  )

const seal = (key: PublicKey, text: string): Promise<Uint8Array<ArrayBuffer>> =>
  Effect.runPromise(Effect.provide(Envelope.seal(key, new TextEncoder().encode(text)), Servers.platform))

const keyOf = (pem: string): Promise<PublicKey> =>
  Effect.runPromise(
    Effect.flatMap(Crypto, (crypto) => crypto.importPublicKey(new TextEncoder().encode(pem))).pipe(
      Effect.provide(Servers.platform)
    )
  )

let router: { readonly value: string; readonly close: () => Promise<void> }
let certificate: string
let tls: { readonly key: string; readonly cert: string }
/** The proxy's own pair, and the router's, of which the proxy knows the public half. */
let own: KeyPair
let routers: KeyPair

beforeAll(async () => {
  tls = await Servers.certificate()
  certificate = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-")), "company-ca.pem")
  Fs.writeFileSync(certificate, tls.cert)
  const load = (name: string) =>
    Effect.runPromise(
      Effect.provide(NodeKeyStore.loadKeyPair(Vectors.path(`keys/${name}`)), Servers.platform)
    )
  own = await load("client_4096.pem")
  routers = await load("server_4096.pem")
  router = await Servers.scoped(Servers.router())
})
afterAll(() => router.close())

/** A request as it passed the proxy. */
interface Passed {
  readonly body: Uint8Array<ArrayBuffer>
  /** The proxy opened the request. */
  readonly prompt: string | undefined
  /** The proxy opened the answer. */
  readonly answer: string | undefined
}

/** What the proxy does beside passing on what it gets. */
interface Attack {
  /** Puts its own key in place of the router's. */
  readonly ofRouterKey?: boolean
  /** Puts its own key in place of the client's: `X-Public-Key` is outside of what is sealed. */
  readonly ofClientKey?: boolean
}

const ask = async (body: Uint8Array<ArrayBuffer>, payloadId: string, publicKey: string) => {
  const headers = {
    "content-type": "application/octet-stream",
    "x-payload-id": payloadId,
    "x-public-key": encodeURIComponent(publicKey)
  }
  const answer = await fetch(`${router.value}/v1/chat/secure_completion`, { method: "POST", headers, body })
  return new Uint8Array(await answer.arrayBuffer())
}

/** One request through the proxy. */
const passOn = async (request: IncomingMessage,
  attack: Attack): Promise<{ readonly passed: Passed; readonly answer: Uint8Array }> => {
  const body = new Uint8Array(await buffer(request))
  const payloadId = String(request.headers["x-payload-id"])
  const clientPem = decodeURIComponent(String(request.headers["x-public-key"]))
  const prompt = await read(own, body)
  const sent = prompt === undefined ? body : await seal(routers.publicKey, prompt)
  const sealed = await ask(sent, payloadId, attack.ofClientKey === true ? own.publicKey.pem : clientPem)
  const answer = await read(own, sealed)
  const passed = { body, prompt, answer }
  return { passed, answer: answer === undefined ? sealed : await seal(await keyOf(clientPem), answer) }
}

/** A proxy that the client's machine trusts, as it trusts a company's. */
const withProxy = async <A>(attack: Attack,
  use: (url: string, passed: ReadonlyArray<Passed>) => Promise<A>): Promise<A> => {
  const passed: Array<Passed> = []
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.url === "/pki/public_key") {
      return response.end(attack.ofRouterKey === true ? own.publicKey.pem : routers.publicKey.pem)
    }
    // the list of models, in the clear, is no part of an exchange
    if (request.method === "GET") {
      response.statusCode = 404
      return response.end()
    }
    const result = await passOn(request, attack)
    passed.push(result.passed)
    return response.end(result.answer)
  }
  const server = Https.createServer(tls, (request, response) => void handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    return await use(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, passed)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

const chat = (url: string, pin = "") =>
  nomyo(["chat", PROMPT, "--base-url", url], {
    env: {
      NODE_EXTRA_CA_CERTS: certificate,
      NOMYO_KEY_SIZE: "2048",
      ...(pin === "" ? {} : { NOMYO_ROUTER_KEY_FINGERPRINTS: pin })
    }
  })

describe("a proxy that ends TLS", () => {
  it("reads neither prompt nor answer while it only looks on", () =>
    withProxy({}, async (url, passed) => {
      expect((await chat(url)).stdout).toBe(`${ANSWER}\n`)
      expect(passed).toEqual([{ body: expect.any(Uint8Array), prompt: undefined, answer: undefined }])
    }))

  it("reads the answer, pin or not, when it puts its key in place of the client's: nobody notices", () =>
    withProxy({ ofClientKey: true }, async (url, passed) => {
      expect((await chat(url, routers.publicKey.fingerprint)).stdout).toBe(`${ANSWER}\n`)
      expect(passed).toHaveLength(1)
      expect(passed[0]).toMatchObject({ prompt: undefined, answer: expect.stringContaining(ANSWER) })
    }))

  it("reads the prompt too, without a pin, when it puts its key in place of the router's", () =>
    withProxy({ ofClientKey: true, ofRouterKey: true }, async (url, passed) => {
      expect((await chat(url)).stdout).toBe(`${ANSWER}\n`)
      expect(passed[0]).toMatchObject({ prompt: expect.stringContaining(PROMPT),
        answer: expect.stringContaining(ANSWER) })
    }))

  it("gets nothing at all, with a pin, when it puts its key in place of the router's", () =>
    withProxy({ ofRouterKey: true }, async (url, passed) => {
      const { code, stderr } = await chat(url, routers.publicKey.fingerprint)
      expect({ code, passed }).toEqual({ code: 1, passed: [] })
      expect(stderr).toContain("SecurityError")
    }))

  it("gets a fresh answer, which it reads, to a request that it has recorded", () =>
    withProxy({}, async (url, passed) => {
      await chat(url, routers.publicKey.fingerprint)
      const replayed = await ask(passed[0]!.body, "another-id", own.publicKey.pem)
      expect(await read(own, replayed)).toContain(ANSWER)
    }))
})
