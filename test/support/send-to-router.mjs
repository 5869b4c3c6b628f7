// Preloaded into examples: what they send to the service goes to the test's router, and nothing else about
// them changes.
import Http from "node:http"
import Https from "node:https"
import { syncBuiltinESMExports } from "node:module"

const service = "https://api.nomyo.ai"
const toRouter = (url) => String(url).replace(service, process.env.TEST_ROUTER)

const { fetch } = globalThis
globalThis.fetch = (input, init) => fetch(toRouter(input), init)

const { request } = Https
Https.request = (url, options, ...rest) =>
  String(url).startsWith(service)
    ? Http.request(toRouter(url), { ...options, agent: undefined }, ...rest)
    : request(url, options, ...rest)
syncBuiltinESMExports()
