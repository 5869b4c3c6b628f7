import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"

/** Fields for the log line of a request, beside its method, path and time. */
export interface Logged {
  /** The label of the API key. */
  readonly key?: string | undefined
  readonly payloadId?: string | undefined
  /** The status of a sealed answer. */
  readonly status?: number | undefined
}

/** Of this fiber's request. Protocol 2 encrypts these fields, so the log cannot read them off the request. */
export const currentLogged: FiberRef.FiberRef<Logged> = globalValue(
  "nomyo-js/router/currentLogged",
  () => FiberRef.unsafeMake<Logged>({})
)

/** Adds fields to the log of this fiber's request. */
export const log = (fields: Logged) =>
  FiberRef.update(currentLogged, (logged): Logged => ({ ...logged, ...fields }))
