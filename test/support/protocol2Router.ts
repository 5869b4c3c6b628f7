import * as Effect from "effect/Effect"
import { serve } from "../../src/cli/serve.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Protocol2 from "../../src/protocol2/Protocol2.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as ReplayStore from "../../src/router/ReplayStore.js"
import * as Router from "../../src/router/Router.js"

/** A router of protocol 2 alone, and the fingerprints to pin. */
export const router = (options: Router.Options = {}, keyOptions: GatewayKeys.Options = {}) =>
  Effect.gen(function*() {
    const keys = yield* GatewayKeys.make(keyOptions)
    const replayStore = yield* ReplayStore.makeMemory()
    const app = yield* Router.make({ protocol: 2, gateway: { keys, replayStore }, ...options })
    const [pin = ""] = yield* keys.fingerprints
    return { url: yield* serve(app, { host: "127.0.0.1", port: 0 }), pin, keys }
  })

/** A client of protocol 2 that does not retry. */
export const clientOf = (url: string, options: NomyoConfig.Options = {}) =>
  Protocol2.layer({ baseUrl: url, allowHttp: true, maxRetries: 0, ...options })
