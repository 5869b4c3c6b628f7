// Prints the span of every call. To export spans, use the tracer of @effect/opentelemetry.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { NomyoClient } from "nomyo-js/effect"
import * as NomyoNode from "nomyo-js/node"

const printing = Layer.setTracer(Tracer.make({
  span: (name, parent, context, links, startTime, kind) => {
    const attributes = new Map<string, unknown>()
    let status: Tracer.SpanStatus = { _tag: "Started", startTime }
    return {
      _tag: "Span",
      name,
      spanId: "0",
      traceId: "0",
      parent,
      context,
      links,
      kind,
      attributes,
      sampled: true,
      get status() {
        return status
      },
      end: (endTime, exit) => {
        status = { _tag: "Ended", startTime, endTime, exit }
        console.log(name, exit._tag, Object.fromEntries(attributes))
      },
      attribute: (key, value) => void attributes.set(key, value),
      event: () => undefined,
      addLinks: () => undefined
    }
  },
  context: (run) => run()
}))

const program = Effect.flatMap(NomyoClient.NomyoClient, (client) =>
  client.create({ model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content: "Not in the span" }] }))

await program.pipe(Effect.provide(NomyoNode.layerConfig()), Effect.provide(printing), Effect.runPromise)

// With the echo model this prints:
// NomyoClient.create Success {
//   'gen_ai.operation.name': 'chat',
//   'gen_ai.provider.name': 'nomyo',
//   'gen_ai.request.model': 'Qwen/Qwen3-0.6B'
// }
