/**
 * Runs the store of `doc/examples/router/redis-replay-store.ts` on a real Redis, which it starts on loopback:
 * `npm run test:redis`. It needs `redis-server`, and a built package.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import { SecureChatCompletion } from "nomyo-js"
import { SecureMemory } from "nomyo-js/effect"
import { NodeCrypto } from "nomyo-js/node"
import { WebPrimitives } from "nomyo-js/protocol-2"
import { GatewayKeys, ReplayStore, Router } from "nomyo-js/router"
import { layerRedis } from "../../doc/examples/router/redis-replay-store.js"

const freePort = Effect.promise(async () => {
  const server = Http.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  return port
})

/** A Redis of its own that keeps nothing on the disk. `stop` ends it early. */
const redis = Effect.gen(function*() {
  const port = yield* freePort
  const options = ["--bind", "127.0.0.1", "--port", `${port}`, "--save", "", "--maxmemory-policy",
    "noeviction"]
  const child = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill()
    await once(child, "exit")
  }
  yield* Effect.addFinalizer(() => Effect.promise(stop))
  yield* Effect.promise(async () => {
    for await (const line of createInterface(child.stdout)) if (/Ready to accept/.test(line)) break
    child.stdout.resume()
  })
  return { url: `redis://127.0.0.1:${port}`, stop: Effect.promise(stop) }
})

const storeAt = (url: string) =>
  Effect.map(Layer.build(layerRedis(url)), (context) => Context.get(context, ReplayStore.ReplayStore))

/** What two replicas with one key have in common. */
const sharedStorage = (): GatewayKeys.KeyStorage => {
  const keys: Array<GatewayKeys.StoredKey> = []
  return {
    load: Effect.sync(() => keys.map((key) => ({ ...key, privateKey: key.privateKey.slice() }))),
    save: (key) => Effect.sync(() => void keys.push({ ...key, privateKey: key.privateKey.slice() })),
    remove: () => Effect.void
  }
}

const replica = Effect.fnUntraced(
  function*(storage: GatewayKeys.KeyStorage, url: string, asked: Array<string>) {
    const gateway = { keys: yield* GatewayKeys.make({ storage, keysAhead: 0 }),
      replayStore: yield* storeAt(url) }
    const message = { role: "assistant", content: "Hi" }
    const model = ({ payloadId }: { readonly payloadId: string }) =>
      Effect.sync(() => {
        asked.push(payloadId)
        return { choices: [{ index: 0, message, finish_reason: "stop" }] }
      })
    const server = Http.createServer()
    const served = yield* NodeHttpServer.make(() => server, { host: "127.0.0.1", port: 0 })
    yield* served.serve(yield* Router.make({ protocol: 2, model, gateway }))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
)

/** Sends each request to all replicas, and gives the answer of one. */
const repeating = (replicas: ReadonlyArray<string>) => async (url: string, init: object) => {
  const { pathname } = new URL(url)
  const answers = await Promise.all(replicas.map((replica) => fetch(replica + pathname, init)))
  return answers[0]!
}

const ask = (client: SecureChatCompletion) =>
  client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] }).then(
    ({ choices }) => choices[0]!.message.content,
    ({ authenticated, statusCode }: { readonly statusCode: number; readonly authenticated: boolean }) =>
      ({ statusCode, authenticated })
  )

/** Each id is new to exactly one of two stores on one Redis, and forgotten after its time. */
const checkStores = Effect.gen(function*() {
  const { url } = yield* redis
  const stores = [yield* storeAt(url), yield* storeAt(url)]
  const addTo = (id: string, ttl: Duration.DurationInput) =>
    Effect.all(stores.map((store) => store.add(id, Duration.decode(ttl))), { concurrency: "unbounded" })
  const ids = Array.from({ length: 200 }, (_, i) => i.toString(16).padStart(32, "0"))
  const added = yield* Effect.forEach(ids, (id) => addTo(id, "125 seconds"), { concurrency: 50 })
  Assert.deepEqual(added.filter(([a, b]) => a === b), [])
  yield* addTo("short", "50 millis")
  const isForgotten = Effect.map(addTo("short", "50 millis"), (new_) => new_.includes(true))
  yield* Effect.repeat(Effect.delay(isForgotten, "20 millis"), { until: (isSo) => isSo })
})

/** Two routers with one key and one Redis answer a request once; without Redis they answer none. */
const checkReplicas = Effect.gen(function*() {
  const { stop, url } = yield* redis
  const asked: Array<string> = []
  const storage = sharedStorage()
  const replicas = [yield* replica(storage, url, asked), yield* replica(storage, url, asked)]
  const client = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new SecureChatCompletion({
        baseUrl: replicas[0],
        allowHttp: true,
        protocol: 2,
        maxRetries: 0,
        fetch: repeating(replicas)
      })
    ),
    (client) => Effect.sync(() => client.dispose())
  )
  const outcomes = new Set<string>()
  for (let i = 0; i < 20; i++) outcomes.add(JSON.stringify(yield* Effect.promise(() => ask(client))))
  Assert.equal(asked.length, 20)
  Assert.equal(new Set(asked).size, 20)
  for (const outcome of outcomes) Assert.match(outcome, /^"Hi"$|"statusCode":409/)
  yield* stop
  Assert.deepEqual(yield* Effect.promise(() => ask(client)), { statusCode: 503, authenticated: true })
  Assert.equal(asked.length, 20)
})

const services = Layer.merge(Layer.provideMerge(NodeCrypto.layer, SecureMemory.layer), WebPrimitives.layer)
for (const [name, check] of Object.entries({ checkStores, checkReplicas })) {
  await Effect.runPromise(Effect.provide(Effect.scoped(check), services))
  console.log(`ok ${name}`)
}
