import * as HttpApp from "@effect/platform/HttpApp"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Net from "node:net"
import { Crypto, type PublicKey } from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import { KeyStore } from "../../src/KeyStore.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as Router from "../../src/router/Router.js"
import { type SecureMemory } from "../../src/SecureMemory.js"
import { platform } from "./servers.js"
import { path } from "./vectors.js"

/** What the real router would send. */
export interface Honest {
  readonly status: number
  readonly headers: Http.OutgoingHttpHeaders
  readonly body: Uint8Array
}

/** A request, and everything there is to misbehave with. */
export interface Ask {
  readonly path: "key" | "completion"
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Uint8Array
  readonly response: Http.ServerResponse
  /** The connection itself, for what HTTP would never do. */
  readonly socket: Net.Socket
  readonly honest: () => Promise<Honest>
  /** An envelope around these bytes, sealed to the key that the request carried, or to another. */
  readonly seal: (plaintext: Uint8Array, key?: PublicKey) => Promise<Uint8Array>
}

export type Behaviour = (ask: Ask) => void | Promise<void>

/** What a router does with its next requests. Where nothing is said it is honest. */
export interface Script {
  readonly connection?: ((socket: Net.Socket) => void) | undefined
  readonly key?: Behaviour | undefined
  readonly completion?: Behaviour | undefined
}

export interface Hostile {
  readonly url: string
  script: Script
  /** Requests read so far. */
  readonly requests: () => number
  /** Connections that are open, and that were ever. */
  readonly connections: () => { readonly open: number; readonly total: number }
  /** Bytes that clients took off this side's hands: what the kernel has buffered counts too. */
  readonly written: () => number
  /** Ends when no connection is left that misbehaved. */
  readonly left: Promise<void>
}

/** The development router, with the vectors' key pair, as a function: one for all who misbehave. */
const honestRouter = Effect.gen(function*() {
  const keyPair = yield* NodeKeyStore.loadKeyPair(path("keys/server_4096.pem"))
  return HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(yield* Router.make({ keyPair }))
}).pipe(Effect.provide(platform), Effect.cached, Effect.runSync)

const read = async (request: Http.IncomingMessage): Promise<Buffer<ArrayBuffer>> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/**
 * The development router on a real socket, that misbehaves as its script says, for as long as the scope
 * lives.
 */
export const make: Effect.Effect<Hostile, unknown, Crypto | SecureMemory | Scope.Scope> = Effect.gen(
  function*() {
    const handle = yield* honestRouter
    const runtime = yield* Effect.runtime<Crypto>()
    const crypto = yield* Crypto
    const sockets = new Set<Net.Socket>()
    const hostile = new Set<Net.Socket>()
    let [total, requests, gone] = [0, 0, 0]
    let leave = (): void => undefined

    const answer = async (request: Http.IncomingMessage, response: Http.ServerResponse) => {
      requests++
      const { socket } = request
      const body = await read(request)
      const asked = request.url === "/pki/public_key" ? "key" : "completion"
      const behave = self.script[asked]
      const honest = async (): Promise<Honest> => {
        const answered = await handle(new Request(`${self.url}${request.url}`, {
          method: request.method!,
          headers: request.headers as Record<string, string>,
          ...(request.method === "POST" ? { body } : {})
        }))
        return { status: answered.status, headers: Object.fromEntries(answered.headers),
          body: new Uint8Array(await answered.arrayBuffer()) }
      }
      if (behave === undefined) {
        const { body, headers, status } = await honest()
        response.writeHead(status, headers).end(body)
      } else {
        hostile.add(socket)
        // a connection on which all was said and done may be kept
        response.on("finish", () => hostile.delete(socket))
        await behave({
          path: asked,
          headers: request.headers,
          body,
          response,
          socket,
          honest,
          seal: (plaintext, key) =>
            Effect.flatMap(
              key === undefined
                ? crypto.importPublicKey(
                  new TextEncoder().encode(decodeURIComponent(String(request.headers["x-public-key"])))
                )
                : Effect.succeed(key),
              (key) => Envelope.seal(key, plaintext)
            ).pipe(Runtime.runPromise(runtime))
        })
      }
    }

    const http = Http.createServer((request, response) =>
      void answer(request, response).catch(() => request.socket.destroy())
    )
    const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
      total++
      sockets.add(socket)
      socket.on("error", () => undefined).on("close", () => {
        gone += socket.bytesWritten
        sockets.delete(socket)
        hostile.delete(socket)
        if (hostile.size === 0) leave()
      })
      if (self.script.connection === undefined) {
        http.emit("connection", socket)
      } else {
        hostile.add(socket)
        socket.on("end", () => socket.end())
        self.script.connection(socket)
      }
    })
    yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
    yield* Effect.addFinalizer(() =>
      Effect.promise(() =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          for (const socket of sockets) socket.destroy()
        })
      )
    )
    const self: Hostile = {
      url: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`,
      script: {},
      requests: () => requests,
      connections: () => ({ open: sockets.size, total }),
      written: () => [...sockets].reduce((bytes, socket) => bytes + socket.bytesWritten, gone),
      get left() {
        // who does not read sees nobody leave
        for (const socket of hostile) socket.resume()
        return hostile.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => leave = resolve)
      }
    }
    return self
  }
)

/** A store that holds one of the vectors' key pairs, so that no test waits for a new one. */
export const layerKeyStore = (name: string): Layer.Layer<KeyStore, unknown, Crypto | SecureMemory> =>
  Layer.effect(
    KeyStore,
    Effect.gen(function*() {
      const crypto = yield* Crypto
      const { privateKey } = yield* NodeKeyStore.loadKeyPair(path(`keys/${name}`))
      const pkcs8 = yield* Effect.scoped(
        Effect.map(crypto.exportPrivateKey(privateKey), (bytes) => Uint8Array.from(bytes))
      )
      return {
        load: Effect.asSome(crypto.importKeyPair(pkcs8, Date.now())),
        save: (pair) => Effect.succeed(pair),
        remove: Effect.void,
        exclusively: (effect) => effect
      }
    })
  )

// ----------------------------------------------------------------------------
// Ways to misbehave

/** An answer as HTTP has it. */
export const http =
  (status: number, body: string | Uint8Array = "", headers: Http.OutgoingHttpHeaders = {}): Behaviour =>
    ({ response }) => void response.writeHead(status, headers).end(body)

/** These bytes, and then silence on an open connection. */
export const raw = (...parts: ReadonlyArray<string | Uint8Array>): Behaviour => ({ socket }) =>
  parts.forEach((part) => socket.write(part))

/** The same, and the end of this side. */
export const ended = (...parts: ReadonlyArray<string | Uint8Array>): Behaviour => (ask) => {
  void raw(...parts)(ask)
  ask.socket.end()
}

/** The same, and a reset, as soon as the bytes are on their way. */
export const reset = (...parts: ReadonlyArray<string | Uint8Array>): Behaviour => ({ socket }) => {
  socket.write(parts.map(String).join(""), () => setTimeout(() => socket.resetAndDestroy(), 20))
}

/** A head, and then this much of one chunk again and again, for as long as it is taken. */
export const pumped =
  (head: string, chunk: string | Uint8Array, bytes = 2 ** 30): Behaviour => ({ socket }) => {
    let left = bytes
    const pump = (): void => {
      while (left > 0 && !socket.destroyed) {
        left -= chunk.length
        if (!socket.write(chunk)) return void socket.once("drain", pump)
      }
    }
    socket.write(head)
    pump()
  }

/** A head, and then a little at a time, for ever. */
export const trickled = (head: string, drop: string, milliseconds = 20): Behaviour => ({ socket }) => {
  socket.write(head)
  const timer = setInterval(() => socket.write(drop), milliseconds)
  socket.on("close", () => clearInterval(timer))
}

/** An envelope around what the model is to have said. */
export const sealed =
  (plaintext: (ask: Ask) => string | Uint8Array, key?: PublicKey): Behaviour => async (ask) => {
    const said = plaintext(ask)
    const body = await ask.seal(typeof said === "string" ? new TextEncoder().encode(said) : said, key)
    ask.response.writeHead(200, { "content-type": "application/octet-stream" }).end(body)
  }

/** The honest answer, changed. */
export const changed =
  (change: (honest: Honest, ask: Ask) => void | Promise<void>): Behaviour => async (ask) =>
    change(await ask.honest(), ask)

/** What is given to the first request, the second, …; and what to all later ones. */
export const inTurn = (...behaviours: ReadonlyArray<Behaviour>): Behaviour => {
  let n = 0
  return (ask) => behaviours[Math.min(n++, behaviours.length - 1)]!(ask)
}

export const honest: Behaviour = changed(({ body, headers, status }, { response }) =>
  void response.writeHead(status, headers).end(body)
)
