/**
 * The other process: the router, and a server that answers without work of its own, for what is about the
 * client alone. It says its URLs to its parent, and measures its RSA rate when asked.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FlattenedEncrypt } from "jose"
import { createPublicKey } from "node:crypto"
import * as Http from "node:http"
import * as Crypto from "nomyo-js/Crypto"
import * as Node from "nomyo-js/node"
import { Model, Router } from "nomyo-js/router"
import * as SecureMemory from "nomyo-js/SecureMemory"
import * as NodePrimitives from "../../dist/platform/node/NodePrimitives.js"
import { rsaRate } from "./measure.mjs"
import { answer, KiB, sealBytes, serverKeys } from "./subjects.mjs"

const keys = serverKeys()
const pkcs8 = keys.privateKey.export({ format: "der", type: "pkcs8" })
const completion = Buffer.from(JSON.stringify(answer(KiB)))

/** Answers sealed once for each client and sent again and again. */
const prepared = new Map()
const prepare = (path, pem) => {
  const name = `${path} ${pem}`
  if (!prepared.has(name)) {
    const publicKey = createPublicKey(decodeURIComponent(pem))
    prepared.set(
      name,
      path === "/jose"
        ? new FlattenedEncrypt(completion).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" })
          .encrypt(publicKey).then(JSON.stringify)
        : sealBytes(publicKey, completion)
    )
  }
  return prepared.get(name)
}

const idle = Http.createServer((request, response) => {
  request.resume().on("end", async () => {
    if (request.method === "GET") return response.end(keys.publicKey.export({ format: "pem", type: "spki" }))
    if (request.url === "/v1/chat/completions")
      return response.setHeader("Content-Type", "application/json").end(completion)
    response.end(await prepare(request.url, request.headers["x-public-key"]))
  })
}).listen(0, "127.0.0.1")

/** A model server that streams 200 pieces, one every 5 milliseconds. */
const model = Http.createServer((request, response) => {
  request.resume()
  response.writeHead(200, { "content-type": "text/event-stream" })
  let left = 200
  const chunk = { id: "c", object: "chat.completion.chunk", created: 0, model: "m",
    choices: [{ index: 0, delta: { content: "word " } }] }
  const event = `data: ${JSON.stringify(chunk)}\n\n`
  const timer = setInterval(() => left-- > 0 ? response.write(event) : response.end("data: [DONE]\n\n"), 5)
  response.on("close", () => clearInterval(timer))
}).listen(0, "127.0.0.1")

/** What stands in the router's place where nothing is encrypted. */
const proxy = Http.createServer((request, response) => {
  const { headers, method, url } = request
  const { port } = model.address()
  const forwarded = Http.request({ host: "127.0.0.1", port, path: url, method, headers }, (answered) => {
    response.writeHead(answered.statusCode, answered.headers)
    answered.pipe(response)
  })
  response.on("close", () => forwarded.destroy())
  request.pipe(forwarded.on("error", () => response.destroy()))
}).listen(0, "127.0.0.1")

/**
 * A model that says back what it reads. The echo model counts the words of both, which at 1 MiB takes several
 * times as long as everything else together: what is compared would be the model with itself.
 */
const repeat = ({ payload }) => {
  const [choice] = answer(0).choices
  const { content } = payload.messages[0]
  return Effect.succeed({ ...answer(0), choices: [{ ...choice, message: { role: "assistant", content } }] })
}

const urlOf = (server) => `http://127.0.0.1:${server.address().port}`

const serve = Effect.fnUntraced(function*(options) {
  const server = Http.createServer()
  const served = yield* NodeHttpServer.make(() => server, { host: "127.0.0.1", port: 0 })
  yield* served.serve(yield* Router.make(options))
  return urlOf(server)
})

const main = Effect.gen(function*() {
  const crypto = yield* Crypto.Crypto
  const keyPair = yield* crypto.importKeyPair(new Uint8Array(pkcs8), 0)
  const router = yield* serve({ keyPair, model: repeat })
  const upstream = yield* Effect.provide(Model.makeUpstream({ url: urlOf(model) }), NodeHttpClient.layer)
  const streaming = yield* serve({ keyPair, model: upstream, protocol: 2 })
  process.send({ idle: urlOf(idle), router, streamed: { router: streaming, proxy: urlOf(proxy) } })
  return yield* Effect.never
}).pipe(Effect.scoped,
  Effect.provide(
    Layer.merge(Layer.provideMerge(Node.NodeCrypto.layer, SecureMemory.layer), NodePrimitives.layer)
  ))

process.on("message", async (milliseconds) => process.send(await rsaRate(pkcs8, milliseconds)))
process.on("disconnect", () => process.exit())
await Effect.runPromise(main)
