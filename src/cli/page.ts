import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

/** The package's own folder, seen from the bundled command. */
const root = Path.join(__dirname, "../..")

const files = {
  "/": ["doc/examples/browser/index.html", "text/html; charset=utf-8"],
  "/chat.css": ["doc/examples/browser/chat.css", "text/css; charset=utf-8"],
  "/chat.js": ["doc/examples/browser/chat.js", "text/javascript; charset=utf-8"],
  "/icon.svg": ["doc/examples/browser/icon.svg", "image/svg+xml"],
  "/nomyo.js": ["dist/browser/index.js", "text/javascript; charset=utf-8"]
} as const

/** A page with keys in it runs nothing but what came with it, and talks to nobody but the router that served it. */
const headers = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-cache",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

const isPath = (path: string): path is keyof typeof files => Object.hasOwn(files, path)

/** Serves the example page beside an app. */
export const withPage = (app: HttpApp.Default): HttpApp.Default =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) => {
    const path = url.split("?")[0]!
    if (method !== "GET" || !isPath(path)) return app
    const [file, contentType] = files[path]
    return Effect.match(Effect.tryPromise(() => Fs.readFile(Path.join(root, file))), {
      onSuccess: (bytes) => HttpServerResponse.uint8Array(bytes, { contentType, headers }),
      onFailure: () => HttpServerResponse.text(`${file} is not there\n`, { status: 404 })
    })
  })
