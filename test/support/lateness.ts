/**
 * How late timers are: a machine that is busy delays every process, and a test of times has to allow for
 * that.
 */

const EVERY = 100

/**
 * Watches a timer of this process. Gives a function that ends this and says how late it was at most, in
 * milliseconds.
 */
export const watchLateness = (): () => number => {
  let last = performance.now()
  let latest = 0
  const look = () => {
    const now = performance.now()
    latest = Math.max(latest, now - last - EVERY)
    last = now
  }
  const timer = setInterval(look, EVERY)
  return () => {
    look()
    clearInterval(timer)
    return latest
  }
}
