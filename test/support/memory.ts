import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SecureMemory from "../../src/SecureMemory.js"

/** Secure memory that shows each of its buffers just before it is given back. */
export const spied = (layer: Layer.Layer<SecureMemory.SecureMemory>,
  look: (bytes: Uint8Array<ArrayBuffer>) => void) =>
  Layer.map(layer, (context) => {
    const memory = Context.get(context, SecureMemory.SecureMemory)
    const watch = (bytes: Uint8Array<ArrayBuffer>) =>
      Effect.addFinalizer(() => Effect.sync(() => look(bytes)))
    return Context.make(SecureMemory.SecureMemory, {
      ...memory,
      allocate: (length) => Effect.tap(memory.allocate(length), watch),
      use: <A, E, R>(length: number, f: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) =>
        memory.use(length, (bytes) => Effect.ensuring(f(bytes), Effect.sync(() => look(bytes)))),
      useSync: (length, f) =>
        memory.useSync(length, (bytes) => {
          try {
            return f(bytes)
          } finally {
            look(bytes)
          }
        }),
      guard: <E, R>(acquire: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>) =>
        Effect.tap(memory.guard(acquire), watch)
    })
  })
