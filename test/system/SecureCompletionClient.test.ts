import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { DisposedError, InvalidRequestError, SecurityError } from "../../src/index.js"
import { API_KEY, error, hello, setup, temporaryDirectory } from "../support/promise.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const { make, makeLower, router } = setup()

describe("SecureCompletionClient", () => {
  it("does the steps of a request one by one", async () => {
    const client = makeLower()
    const publicKey = await client.loadKeys(Vectors.path("keys/client_4096.pem"),
      Vectors.path("keys/client_4096.pub.pem"))
    expect(await client.fetchServerPublicKey()).toBe(
      Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"), "utf8")
    )
    const envelope = await client.encryptPayload(hello())
    const response = await fetch(`${router.url}/v1/chat/secure_completion`, {
      method: "POST",
      headers: {
        "X-Payload-ID": "by-hand",
        "X-Public-Key": encodeURIComponent(publicKey.pem),
        Authorization: `Bearer ${API_KEY}`
      },
      body: envelope
    })
    const played = await response.arrayBuffer()
    const answer = await client.decryptResponse(played, "by-hand")
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    expect(answer._metadata.payload_id).toBe("by-hand")
    expect(await error(client.decryptResponse(played, "another"))).toMatchObject({ name: "SecurityError",
      reason: "replay" })
  })

  it("takes payloads in bytes as they are, and leaves them so", async () => {
    const client = makeLower()
    const bytes = new TextEncoder().encode(JSON.stringify({ ...hello(), seed: 7 }))
    const before = bytes.slice()
    const answer = await client.sendSecureRequest(bytes, "in-bytes")
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    const envelope = JSON.parse(new TextDecoder().decode(await client.encryptPayload(bytes)))
    expect(Buffer.from(envelope.encrypted_payload.ciphertext, "base64")).toHaveLength(bytes.length)
    expect(bytes).toEqual(before)
    const large = new Uint8Array(10 * 1024 * 1024 + 1)
    for (const call of [client.encryptPayload(large), client.sendSecureRequest(large, "large")]) {
      expect(await error(call)).toMatchObject({ name: "InvalidRequestError" })
    }
  })

  it("does them all at once", async () => {
    const answer = await makeLower({ apiKey: "wrong" }).sendSecureRequest(hello(), "my-id", API_KEY,
      "standard")
    expect(answer._metadata).toMatchObject({ payload_id: "my-id", security_tier: "standard" })
    expect(await error(makeLower().sendSecureRequest(hello(), "my\r\nid"))).toMatchObject({
      name: "SecurityError",
      reason: "header"
    })
  })

  it("loads encrypted keys, and refuses what is none", async () => {
    const client = makeLower()
    const plain = await client.loadKeys(Vectors.path("keys/client_4096.pem"))
    const encrypted = Vectors.path("keys/client_4096.encrypted-pkcs8.pem")
    expect(await client.loadKeys(encrypted, undefined, Vectors.password)).toEqual(plain)
    expect(await error(client.loadKeys(encrypted))).toMatchObject({ reason: "key-password" })
    expect(await error(client.loadKeys("/nowhere.pem"))).toMatchObject({ name: "SecurityError",
      message: expect.stringContaining("ENOENT") })
    expect(await client.ready()).toEqual(plain)
  })

  it("keeps a pair that it was given, however old its file", async () => {
    const file = Path.join(temporaryDirectory(), "old.pem")
    Fs.copyFileSync(Vectors.path("keys/client_2048.pem"), file)
    Fs.utimesSync(file, 0, 0)
    const client = makeLower()
    const given = await client.loadKeys(file)
    await client.sendSecureRequest(hello(), "id")
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await client.ready()).toEqual(given)
  })

  it("never leaves half a key behind when it is disposed while it saves", async () => {
    const keyDir = temporaryDirectory()
    const first = await makeLower({ keyDir }).generateKeys()
    for (let i = 0; i < 10; i++) {
      const client = makeLower({ keyDir })
      const call = client.generateKeys().catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 20 * i))
      client.dispose()
      await call
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
    const loaded = await makeLower({ keyDir }).ready()
    expect(loaded.modulusLength).toBe(first.modulusLength)
    expect(Fs.readdirSync(keyDir).toSorted()).toEqual(["private_key.pem", "public_key.pem"])
  })

  it("survives first use and rotation at the same time, and agrees with its directory", async () => {
    for (let i = 0; i < 5; i++) {
      const keyDir = temporaryDirectory()
      const client = make({ keyDir })
      await Promise.all([client.create(hello()), client.rotateKeys(), client.create(hello())])
      expect(Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")).toBe((await client.ready()).pem)
    }
  })

  it("times out for a router that is silent", async () => {
    const silent = await Servers.scoped(Servers.tcpServer(() => undefined))
    const client = makeLower({ routerUrl: silent.value, timeout: 200 })
    for (const call of [client.fetchServerPublicKey(), client.encryptPayload(hello())]) {
      expect(await error(call)).toMatchObject({ name: "APIConnectionError", reason: "timeout" })
    }
    await silent.close()
  })

  it("rejects with its own errors whatever it is given", async () => {
    const client = makeLower()
    expect(await error(client.sendSecureRequest(undefined as never, "id"))).toBeInstanceOf(
      InvalidRequestError
    )
    expect(await error(client.sendSecureRequest(hello(), undefined as never))).toMatchObject({
      reason: "header"
    })
    expect((await make().create(hello(), null as never)).choices).toHaveLength(1)
    expect((await make({ apiKey: null as never }).create(hello({ api_key: API_KEY }))).choices).toHaveLength(
      1
    )
  })

  it("generates keys, saves them to the given directory, and uses them", async () => {
    const keyDir = temporaryDirectory()
    const client = makeLower()
    const before = await client.ready()
    const made = await client.generateKeys({ keyDir, password: "correct horse" })
    expect(made.fingerprint).not.toBe(before.fingerprint)
    expect(await client.ready()).toEqual(made)
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toContain("ENCRYPTED")
    expect(await makeLower().loadKeys(Path.join(keyDir, "private_key.pem"), undefined, "correct horse"))
      .toEqual(made)
    expect((await client.generateKeys({ keySize: 4096 })).modulusLength).toBe(4096)
    expect((await client.sendSecureRequest(hello(), "id")).choices).toHaveLength(1)
  })

  it("ends with a DisposedError", async () => {
    const client = makeLower()
    const calls = [client.fetchServerPublicKey(), client.encryptPayload(hello()), client.generateKeys(),
      client.sendSecureRequest(hello(), "id")]
      .map((call) => error(call))
    client.dispose()
    for (const call of calls) expect(await call).toBeInstanceOf(DisposedError)
    expect(await error(client.decryptResponse(new Uint8Array(0), "id"))).toBeInstanceOf(DisposedError)
  })

  it("refuses what is no envelope", async () => {
    expect(await error(makeLower().decryptResponse(new TextEncoder().encode("<html>"), "id"))).toBeInstanceOf(
      SecurityError
    )
  })
})
