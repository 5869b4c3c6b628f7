import * as Effect from "effect/Effect"

/** Lets everything else that is due have its turn. Fibers yield to one another, and not to the event loop. */
export const yieldToEventLoop: Effect.Effect<void> = Effect.async((resume) => {
  if (typeof setImmediate === "function") {
    setImmediate(() => resume(Effect.void))
  } else {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener("message", () => {
      port1.close()
      resume(Effect.void)
    })
    port1.start()
    port2.postMessage(undefined)
  }
})
