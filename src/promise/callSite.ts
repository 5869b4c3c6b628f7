/**
 * The place of a call, for the stack of its error: the error itself is made much later, in a fiber that knows
 * nothing of the caller.
 */
import { copyWith } from "../internal/errors.js"
import { isNomyoError } from "../NomyoError.js"

/** A stack, which the engine writes out only when it is read. */
export interface CallSite {
  readonly stack?: string | undefined
}

/** Captures where `entry` was called. It takes some microseconds. */
export const captureCallSite = (entry: (...args: Array<never>) => unknown): CallSite => {
  if (typeof Error.captureStackTrace !== "function") return new Error()
  const site: CallSite = {}
  Error.captureStackTrace(site, entry)
  return site
}

/** V8 begins a stack with a line that names the error; other engines do not. */
const framesOf = (stack: string): string => stack.replace(/^Error\n?/, "")

/** A copy of an error of this library whose stack goes on to the caller. Other values stay as they are. */
export const withCallSite = (error: unknown, { stack = "" }: CallSite): unknown => {
  if (!isNomyoError(error) || stack === "") return error
  const copy = copyWith(error, {})
  copy.stack = `${error.stack ?? ""}\n${framesOf(stack)}`
  return copy
}
