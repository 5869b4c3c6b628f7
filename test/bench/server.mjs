/**
 * The other process: the router, and a server that answers without work of its own, for what is about the client alone. It says its URLs to
 * its parent, and measures its RSA rate when asked.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FlattenedEncrypt } from "jose"
import { createPublicKey } from "node:crypto"
import * as Http from "node:http"
import * as Crypto from "nomyo-js/Crypto"
import * as Node from "nomyo-js/node"
import { Router } from "nomyo-js/router"
import * as SecureMemory from "nomyo-js/SecureMemory"
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
        ? new FlattenedEncrypt(completion).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" }).encrypt(publicKey).then(JSON.stringify)
        : sealBytes(publicKey, completion)
    )
  }
  return prepared.get(name)
}

const idle = Http.createServer((request, response) => {
  request.resume().on("end", async () => {
    if (request.method === "GET") return response.end(keys.publicKey.export({ format: "pem", type: "spki" }))
    if (request.url === "/v1/chat/completions") return response.setHeader("Content-Type", "application/json").end(completion)
    response.end(await prepare(request.url, request.headers["x-public-key"]))
  })
}).listen(0, "127.0.0.1")

const main = Effect.gen(function*() {
  const crypto = yield* Crypto.Crypto
  const keyPair = yield* crypto.importKeyPair(new Uint8Array(pkcs8), 0)
  const app = yield* Router.make({ keyPair })
  const server = Http.createServer()
  const served = yield* NodeHttpServer.make(() => server, { host: "127.0.0.1", port: 0 })
  yield* served.serve(app)
  process.send({ idle: `http://127.0.0.1:${idle.address().port}`, router: `http://127.0.0.1:${server.address().port}` })
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Node.NodeCrypto.layer, SecureMemory.layer)))

process.on("message", async (milliseconds) => process.send(await rsaRate(pkcs8, milliseconds)))
process.on("disconnect", () => process.exit())
await Effect.runPromise(main)
