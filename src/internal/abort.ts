/**
 * Abort signals: one listener for each signal, however many calls share it, so that Node does not warn of a
 * leak.
 */

interface Listener {
  readonly calls: Set<() => void>
  readonly stop: () => void
}

const listeners = new WeakMap<AbortSignal, Listener>()

const listenTo = (signal: AbortSignal): Listener => {
  const calls = new Set<() => void>()
  const stop = () => {
    signal.removeEventListener("abort", abort)
    listeners.delete(signal)
  }
  const abort = () => {
    stop()
    for (const cancel of calls) cancel()
  }
  signal.addEventListener("abort", abort)
  const listener = { calls, stop }
  listeners.set(signal, listener)
  return listener
}

/** Runs `cancel` when the signal is aborted. Returns the function that stops listening. */
export const onAbort = (signal: AbortSignal, cancel: () => void): () => void => {
  const { calls, stop } = listeners.get(signal) ?? listenTo(signal)
  calls.add(cancel)
  return () => {
    if (calls.delete(cancel) && calls.size === 0) stop()
  }
}

/** The reason that a call rejects with. Signals of polyfills and of old runtimes have no reason. */
export const reasonOf = (signal: AbortSignal): unknown =>
  signal.reason === undefined ? new DOMException("This operation was aborted", "AbortError") : signal.reason
