import * as Command from "@effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Crypto, type PrivateKey, type PublicKey, type Sealed } from "../Crypto.js"
import { NomyoClient } from "../NomyoClient.js"
import * as NodeCrypto from "../platform/node/NodeCrypto.js"
import * as NodeSecureMemory from "../platform/node/NodeSecureMemory.js"
import type { Plaintext } from "../Plaintext.js"
import * as Router from "../router/Router.js"
import { Transport } from "../Transport.js"
import { clientOptions, layer, request } from "./client.js"
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

/** `nomyo demo`: one encrypted chat completion, with every step shown. */
export const demo = Command.make("demo", clientOptions, (options) =>
  Effect.gen(function*() {
    const steps: Array<readonly [label: string, took: Duration.Duration]> = []
    /** An effect that stops the watch it starts. */
    const start = (label: string) =>
      Effect.map(Clock.currentTimeNanos, (started) =>
        Effect.map(Clock.currentTimeNanos, (now) => steps.push([label, Duration.nanos(now - started)])))
    const timed = (label: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.flatMap(start(label), (stop) => Effect.zipLeft(effect, stop))
    let wire = ""

    /** The client's own services with a stopwatch on each: the same calls, nothing else changed. */
    const watched = Layer.effectContext(Effect.gen(function*() {
      const crypto = yield* Crypto
      const transport = yield* Transport
      const context = yield* Effect.context<Crypto | Transport>()
      return context.pipe(
        (context) =>
          Context.add(context, Crypto, {
            ...crypto,
            generateKeyPair: (bits) => timed(`The client makes its RSA-${bits} key pair`)(crypto.generateKeyPair(bits)),
            seal: <A, E, R>(key: PublicKey, plaintext: Plaintext, use: (sealed: Sealed) => Effect.Effect<A, E, R>) =>
              Effect.flatMap(start("The client encrypts the request"), (stop) =>
                crypto.seal(key, plaintext, (sealed) => Effect.zipRight(stop, use(sealed)))),
            open: <A, E, R>(key: PrivateKey, sealed: Sealed, use: (plaintext: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) =>
              Effect.flatMap(start("The client decrypts the answer"), (stop) =>
                crypto.open(key, sealed, (plaintext) => Effect.zipRight(stop, use(plaintext))))
          }),
        Context.add(Transport, {
          send: (sent) => {
            if (sent.body === undefined) return timed("The client fetches the router's public key")(transport.send(sent))
            wire = Array.from(sent.body.chunks).join("")
            return timed("The router answers")(transport.send({ ...sent, body: { length: wire.length, chunks: [wire] } }))
          }
        })
      )
    }))

    const configured = yield* configuredRouter(options.baseUrl)
    const url = Option.isSome(configured) ? configured.value : yield* ownRouter
    const isOwn = Option.isNone(configured)
    yield* out(isOwn ? `A router of our own is listening on ${url}, with a model that repeats what it is told.` : `The router is ${url}.`)

    const asked = request(PROMPT, options)
    yield* title("The request, in clear, as only this process and the router see it")
    yield* out(JSON.stringify(asked, null, 2))

    const client = layer({ baseUrl: Option.some(url), allowHttp: options.allowHttp || isOwn }, watched)
    const [total, answer] = yield* Effect.flatMap(NomyoClient, (client) => client.create(asked)).pipe(
      Effect.timed,
      Effect.provide(client),
      withSpinner("Making the client's key pair and waiting for the answer")
    )

    yield* title(`What went over the wire: ${wire.length} bytes, beginning with`)
    yield* out(styled("dim", `${wire.slice(0, WIRE_BYTES)}…`))

    yield* title("The answer, decrypted")
    for (const { message } of answer.choices) {
      if (message.reasoning_content) yield* out(styled("dim", plain(message.reasoning_content)))
      yield* out(plain(message.content ?? JSON.stringify(message.tool_calls)))
    }

    yield* title("What took how long")
    for (const [label, took] of [...steps, ["From the call to the answer", total] as const]) {
      yield* out(`  ${label.padEnd(44)} ${Duration.toMillis(took).toFixed(1).padStart(8)} ms`)
    }
  }).pipe(Effect.scoped)).pipe(
  Command.withDescription(
    "Show one encrypted chat completion step by step, with a router of its own or with the one of --base-url and NOMYO_API_KEY"
  )
)
