/**
 * Whole clients, each a call that sends 1 KiB to a server that has no work of its own, and what is to be
 * taken off or set beside.
 */
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as NodeCrypto from "node:crypto"
import * as Http from "node:http"
import { SecureChatCompletion } from "nomyo-js"
import * as ChatCompletion from "nomyo-js/ChatCompletion"
import * as Envelope from "nomyo-js/Envelope"
import { BASE_URL, createFetch } from "nomyo-js/fetch"
import * as Node from "nomyo-js/node"
import * as NomyoClient from "nomyo-js/NomyoClient"
import OpenAI from "openai"
import * as Base64 from "../../dist/internal/codecs/base64.js"
import * as Json from "../../dist/internal/codecs/json.js"
import { keys, KiB, make, oaep, payload, privateHandle, sealBytes, serverKeys } from "./subjects.mjs"

const request = payload(KiB)
const options = (baseUrl, keySize, keyDir) => ({ baseUrl, allowHttp: true, keyDir, keySize,
  keyRotationInterval: 0 })

/**
 * The steps of `NomyoClient.create`: the same checks, of JSON and base64 too, a deadline, a bound on the
 * answer, and zeroing.
 */
const steps = async (baseUrl, bits) => {
  const { pem, pkcs8 } = keys(bits)
  const handle = await privateHandle(pkcs8)
  const routerKey = serverKeys().publicKey
  const agent = new Http.Agent({ keepAlive: true })
  const publicKeyHeader = encodeURIComponent(pem)
  const isRequest = Schema.is(ChatCompletion.ChatCompletionRequest)
  const isEnvelope = Schema.is(Envelope.Envelope)
  const isResponse = Schema.is(ChatCompletion.ChatCompletionResponse)
  const decode = (text) => {
    const bytes = Base64.decodePublic(text)
    if (bytes === undefined) throw new TypeError("base64")
    return bytes
  }
  return {
    seal: () => {
      if (!isRequest(request)) throw new TypeError("request")
      const { api_key: _1, base_url: _2, security_tier: _3, ...rest } = request
      const texts = []
      const length = [...Json.lengths(Json.stringify(rest), texts)].reduce((total, length) => total + length)
      const window = new Uint8Array(length)
      const [json] = Json.encode(texts, window)
      const body = sealBytes(routerKey, json)
      window.fill(0)
      return { body, payloadId: NodeCrypto.randomUUID() }
    },
    post: ({ body, payloadId }) =>
      new Promise((resolve, reject) => {
        const deadline = setTimeout(() => request.destroy(new Error("timeout")), 60_000)
        const request = Http.request(`${baseUrl}/v1/chat/secure_completion`, {
          method: "POST",
          agent,
          headers: { "Content-Type": "application/octet-stream", "X-Payload-ID": payloadId,
            "X-Public-Key": publicKeyHeader }
        }, (response) => {
          if (response.statusCode !== 200) return reject(new Error(`${response.statusCode}`))
          const chunks = []
          let length = 0
          response.on("data", (chunk) => {
            chunks.push(chunk)
            length += chunk.length
            if (length > 64 * 2 ** 20) request.destroy(new Error("size"))
          }).on("end", () => resolve(Buffer.concat(chunks))).on("error", reject)
        })
        request.on("error", reject).on("close", () => clearTimeout(deadline)).end(body)
      }),
    read: (bytes) => {
      const envelope = JSON.parse(bytes.toString("latin1"))
      if (!isEnvelope(envelope)) throw new TypeError("envelope")
      return envelope
    },
    unwrap: ({ encrypted_aes_key }) =>
      NodeCrypto.webcrypto.subtle.decrypt("RSA-OAEP", handle, decode(encrypted_aes_key)),
    open: ({ encrypted_payload }, unwrapped, payloadId) => {
      const aesKey = Buffer.from(unwrapped)
      const decipher = NodeCrypto.createDecipheriv("aes-256-gcm", aesKey, decode(encrypted_payload.nonce), {
        authTagLength: 16
      })
      decipher.setAuthTag(decode(encrypted_payload.tag))
      const plaintext = decipher.update(decode(encrypted_payload.ciphertext))
      decipher.final()
      aesKey.fill(0)
      const answered = JSON.parse(plaintext.toString())
      plaintext.fill(0)
      if (!isResponse(answered)) throw new TypeError("response")
      return { ...answered, _metadata: { payload_id: payloadId } }
    }
  }
}

/** The same request with a picture of 7 MiB, by the client and as a library sends it. */
export const picture = (baseUrl, bits, keyDir) => {
  const client = new SecureChatCompletion(options(baseUrl, bits, keyDir))
  const fetch = createFetch(client)
  const url = `data:image/png;base64,${NodeCrypto.randomBytes(7 * KiB * KiB).toString("base64")}`
  const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url } }]
  const request = { model: "m", messages: [{ role: "user", content }] }
  const body = JSON.stringify(request)
  return {
    create: () => client.create(request),
    fetch: async () => (await fetch(`${BASE_URL}/chat/completions`, { method: "POST", body })).json()
  }
}

/** A client that sends this many bytes by a protocol. */
const speaking = (protocol, bytes) => (baseUrl, bits, keyDir) => {
  const own = protocol === 2 ? { baseUrl, allowHttp: true, protocol } : options(baseUrl, bits, keyDir)
  const client = new SecureChatCompletion(own)
  const request = payload(bytes)
  return () => client.create(request)
}

export const clients = {
  "nomyo-js": speaking(1, KiB),
  "nomyo-js, 1 MiB": speaking(1, KiB * KiB),
  "protocol 2": speaking(2, KiB),
  "protocol 2, 1 MiB": speaking(2, KiB * KiB),
  NomyoClient: async (baseUrl, bits, keyDir) => {
    const runtime = ManagedRuntime.make(Node.layer(options(baseUrl, bits, keyDir)))
    const client = await runtime.runPromise(NomyoClient.NomyoClient)
    return () => runtime.runPromise(client.create(request))
  },
  "async function": async (...to) => {
    const { open, post, read, seal, unwrap } = await steps(...to)
    return async () => {
      const sent = seal()
      const envelope = read(await post(sent))
      return open(envelope, await unwrap(envelope), sent.payloadId)
    }
  },
  /** As little of Effect as there can be: nothing that interrupts, no services, no span. */
  "async function as an effect": async (...to) => {
    const { open, post, read, seal, unwrap } = await steps(...to)
    const call = Effect.gen(function*() {
      const sent = seal()
      const envelope = read(yield* Effect.promise(() => post(sent)))
      return open(envelope, yield* Effect.promise(() => unwrap(envelope)), sent.payloadId)
    })
    return () => Effect.runPromise(call)
  },
  /** As one would put them together: the whole client in the fewest lines. */
  "jose + fetch": async (baseUrl, bits) => {
    const { pem, privateKey } = keys(bits)
    const subject = await make.jose({ privateKey, publicKey: serverKeys().publicKey })
    const headers = { "Content-Type": "application/octet-stream", "X-Public-Key": encodeURIComponent(pem) }
    return async () => {
      const response = await fetch(`${baseUrl}/jose`, { method: "POST", headers,
        body: await subject.seal(request) })
      return subject.open(Buffer.from(await response.arrayBuffer()))
    }
  },
  openai: (baseUrl) => {
    const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "k" })
    return () => client.chat.completions.create(request)
  },
  fetch: (baseUrl, bits) => {
    const headers = { "Content-Type": "application/octet-stream",
      "X-Public-Key": encodeURIComponent(keys(bits).pem) }
    const body = sealBytes(serverKeys().publicKey, Buffer.from(JSON.stringify(request)))
    return async () =>
      (await fetch(`${baseUrl}/v1/chat/secure_completion`, { method: "POST", headers, body })).arrayBuffer()
  },
  /** The two operations of a request, and nothing else. */
  RSA: async (_, bits) => {
    const { pkcs8, publicKey } = keys(bits)
    const handle = await privateHandle(pkcs8)
    const wrapped = NodeCrypto.publicEncrypt(oaep(publicKey), Buffer.alloc(32))
    const routerKey = serverKeys().publicKey
    return () => {
      NodeCrypto.publicEncrypt(oaep(routerKey), Buffer.alloc(32))
      return NodeCrypto.webcrypto.subtle.decrypt("RSA-OAEP", handle, wrapped)
    }
  }
}
