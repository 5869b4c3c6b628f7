import * as Command from "@effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { toBytes } from "../Body.js"
import type { ChatCompletionRequest, ChatCompletionResponse } from "../ChatCompletion.js"
import { Crypto, type Service as CryptoService } from "../Crypto.js"
import { NomyoClient } from "../NomyoClient.js"
import * as NodeCrypto from "../platform/node/NodeCrypto.js"
import * as NodeSecureMemory from "../platform/node/NodeSecureMemory.js"
import * as Router from "../router/Router.js"
import { type Service as TransportService, Transport } from "../Transport.js"
import { type ClientOptions, clientOptions, DEFAULT_MODEL, layer, resolve } from "./client.js"
import { serve } from "./serve.js"
import { out, plain, styled, withSpinner } from "./terminal.js"

const PROMPT = "Hello! Who can read this?"
/** As much of the envelope as is shown. */
const WIRE_BYTES = 320

const title = (text: string) => out(styled("bold", `\n${text}`))

/** A router of our own, so that the demonstration needs no account. */
const ownRouter = Router.make().pipe(
  withSpinner("Making the router's key pair"),
  Effect.flatMap((app) => serve(app, { host: "127.0.0.1", port: 0 })),
  Effect.provide(Layer.provideMerge(NodeCrypto.layer, NodeSecureMemory.layer))
)

const configuredRouter = (flag: Option.Option<string>) =>
  Option.match(flag, {
    onSome: (url) => Effect.succeedSome(url),
    onNone: () => Config.option(Config.string("NOMYO_BASE_URL"))
  })

/** A step of the demonstration, and how long it took. */
type Step = readonly [label: string, took: Duration.Duration]

/** A record of the client's services, for the demonstration. */
class Record {
  readonly steps: Array<Step> = []
  /** The request as it went over the wire. */
  wire = ""

  /** Starts a stopwatch. The returned effect stops it. */
  start(label: string): Effect.Effect<Effect.Effect<unknown>> {
    return Effect.map(Clock.currentTimeNanos, (started) =>
      Effect.map(Clock.currentTimeNanos, (now) => this.steps.push([label, Duration.nanos(now - started)])))
  }

  timed<A, E, R>(label: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.flatMap(this.start(label), (stop) => Effect.zipLeft(effect, stop))
  }
}

/** The client's cryptography with a stopwatch on each call. */
const watchCrypto = (crypto: CryptoService, record: Record): CryptoService => ({
  ...crypto,
  generateKeyPair: (bits) =>
    record.timed(`The client makes its RSA-${bits} key pair`, crypto.generateKeyPair(bits)),
  seal: (key, plaintext, use) =>
    Effect.flatMap(record.start("The client encrypts the request"), (stop) =>
      crypto.seal(key, plaintext, (sealed) => Effect.zipRight(stop, use(sealed)))),
  open: (key, sealed, use) =>
    Effect.flatMap(record.start("The client decrypts the answer"), (stop) =>
      crypto.open(key, sealed, (plaintext) => Effect.zipRight(stop, use(plaintext))))
})

/** The client's network with a stopwatch on each exchange, and a copy of what it sent. */
const watchTransport = (transport: TransportService, record: Record): TransportService => ({
  send: (sent) => {
    if (sent.body === undefined) {
      return record.timed("The client fetches the router's public key", transport.send(sent))
    }
    const wire = record.wire = Array.from(sent.body.chunks).join("")
    const body = { length: wire.length, chunks: [wire] }
    return record.timed("The router answers", transport.send({ ...sent, body }))
  },
  open: (sent) => {
    if (sent.body === undefined) {
      return record.timed("The client fetches the router's key configurations", transport.open(sent))
    }
    const bytes = toBytes(sent.body)
    record.wire = Buffer.from(bytes).toString("latin1")
    const body = { length: bytes.length, chunks: [bytes] }
    return record.timed("The router begins to answer", transport.open({ ...sent, body }))
  }
})

const watchedServices = (record: Record) =>
  Layer.effectContext(Effect.map(Effect.context<Crypto | Transport>(), (context) =>
    context.pipe(
      Context.add(Crypto, watchCrypto(Context.get(context, Crypto), record)),
      Context.add(Transport, watchTransport(Context.get(context, Transport), record))
    )))

const showAnswer = Effect.fnUntraced(function*({ choices }: ChatCompletionResponse) {
  yield* title("The answer, decrypted")
  for (const { message } of choices) {
    if (message.reasoning_content) yield* out(styled("dim", plain(message.reasoning_content)))
    yield* out(plain(message.content ?? JSON.stringify(message.tool_calls)))
  }
})

const showSteps = Effect.fnUntraced(function*(steps: ReadonlyArray<Step>) {
  yield* title("Time of each step")
  for (const [label, took] of steps) {
    yield* out(`  ${label.padEnd(44)} ${Duration.toMillis(took).toFixed(1).padStart(8)} ms`)
  }
})

const requestOf = ({ model, system, tier }: ClientOptions): ChatCompletionRequest => ({
  model: Option.getOrElse(model, () => DEFAULT_MODEL),
  messages: [
    ...Option.toArray(system).map((content) => ({ role: "system", content }) as const),
    { role: "user", content: PROMPT }
  ],
  security_tier: Option.getOrUndefined(tier)
})

const run = Effect.fnUntraced(function*(options: ClientOptions) {
  const record = new Record()
  const configured = yield* configuredRouter(options.baseUrl)
  const isOwn = Option.isNone(configured)
  const url = isOwn ? yield* ownRouter : configured.value
  yield* out(isOwn ? `A router listens on ${url}. Its model repeats your prompt.` : `The router is ${url}.`)

  const asked = requestOf(options)
  yield* title("The request in clear: only this process and the router see it")
  yield* out(JSON.stringify(asked, null, 2))

  const given = { ...options, baseUrl: Option.some(url), allowHttp: options.allowHttp || isOwn }
  const client = layer(yield* resolve(given, false), watchedServices(record))
  const [total, answer] = yield* Effect.flatMap(NomyoClient, (client) => client.create(asked)).pipe(
    Effect.timed,
    Effect.provide(client),
    withSpinner("Making the client's key pair and waiting for the answer")
  )

  yield* title(`The request on the wire: ${record.wire.length} bytes, beginning with`)
  yield* out(styled("dim", `${plain(record.wire.slice(0, WIRE_BYTES))}…`))
  yield* showAnswer(answer)
  yield* showSteps([...record.steps, ["From the call to the answer", total]])
}, Effect.scoped)

/** `nomyo demo`: one encrypted chat completion, with every step shown. */
export const demo = Command.make("demo", clientOptions, run).pipe(
  Command.withDescription(
    "Show one encrypted chat completion step by step. Without --base-url or NOMYO_BASE_URL, the command " +
      "starts a router of its own"
  )
)
