import * as Effect from "effect/Effect"

/** Waits for the next turn of the event loop, to which `Effect.yieldNow` does not yield. */
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
