import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { currentLogged } from "../router/logged.js"
import { payloadIdOf } from "../router/payloadId.js"

/** As much of a path as is logged, in characters. */
const LONGEST_PATH = 200
/** The status that servers log after a client disconnects. */
const CLIENT_LEFT = 499

/**
 * Logs one line for each request: method, path without its query, status, milliseconds, payload id, and the
 * label of the API key. Of protocol 2, the status is that of the sealed answer. Never a body, a header, a
 * model or a key.
 */
export const withRequestLog = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.gen(function*() {
    const { headers, method, url } = yield* HttpServerRequest.HttpServerRequest
    const startedAt = yield* Clock.currentTimeMillis
    const outerId = payloadIdOf(headers)
    const log = Effect.fnUntraced(function*(outerStatus: number) {
      const ms = (yield* Clock.currentTimeMillis) - startedAt
      const { key, payloadId = outerId, status = outerStatus } = yield* FiberRef.get(currentLogged)
      yield* Effect.annotateLogs(Effect.logInfo("request"), {
        method,
        path: url.split("?")[0]!.slice(0, LONGEST_PATH),
        status,
        ms,
        ...(payloadId === undefined ? {} : { payload_id: payloadId }),
        ...(key === undefined ? {} : { key })
      })
    })
    const logged = Effect.onExit(app, (exit) => log(Exit.isSuccess(exit) ? exit.value.status : CLIENT_LEFT))
    return yield* outerId === undefined ? logged : Effect.annotateLogs(logged, "payload_id", outerId)
  })
