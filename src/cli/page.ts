import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

/** The package's own folder, seen from the bundled command. */
const root = Path.join(__dirname, "../..")

const files = {
  "/": ["dist/page/index.html", "text/html; charset=utf-8"],
  "/chat.css": ["dist/page/chat.css", "text/css; charset=utf-8"],
  "/chat.js": ["dist/page/chat.js", "text/javascript; charset=utf-8"],
  "/icon.svg": ["dist/page/icon.svg", "image/svg+xml"],
  // the module that speaks both protocols
  "/nomyo.js": ["dist/browser/protocol-2.js", "text/javascript; charset=utf-8"]
} as const

/**
 * A page with keys in it runs nothing but what came with it, and talks to nobody but the server that it came
 * from.
 */
const headers = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-cache",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

/** An app that cannot fail. */
export type App = HttpApp.Default<never, Scope.Scope>

/** The page's own files, by path; `undefined` for another path. */
export type PageData = (path: string) => App | undefined

const fileApp = (path: keyof typeof files): App => {
  const [file, contentType] = files[path]
  return Effect.match(Effect.tryPromise(() => Fs.readFile(Path.join(root, file))), {
    onSuccess: (bytes) => HttpServerResponse.uint8Array(bytes, { contentType, headers }),
    onFailure: () => HttpServerResponse.text(`${file} is not there\n`, { status: 404 })
  })
}

/** The page: its files, and its data. `undefined` for any other path. */
export const pageAt = (path: string, data: PageData): App | undefined =>
  Object.hasOwn(files, path) ? fileApp(path as keyof typeof files) : data(path)

/** Answers what the page asks for; everything else goes on to the app. */
export const withPage = (page: PageData, app: App): App =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
    (method === "GET" || method === "HEAD" ? page(url.split("?")[0]!) : undefined) ?? app)
