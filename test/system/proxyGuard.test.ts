/** Requests that `nomyo proxy` refuses, and starts that it refuses. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { text as textOf } from "node:stream/consumers"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { nomyo, startRouter } from "../support/cli.js"
import { type Chain, startChain, startProxy } from "../support/proxy.js"
import { certificate } from "../support/servers.js"

let chain: Chain

beforeAll(async () => {
  chain = await startChain({
    proxy: ["--allow-origin", "https://chat.example", "--allow-origin", "app://obsidian.md", "--allow-host",
      "nomyo.lan"]
  })
})
afterAll(() => chain.close())

interface Answer {
  readonly status: number | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
}

/** A request by hand: `fetch` sets `Host` and `Origin` itself. */
const ask = (
  path: string,
  { body, headers = {}, method = "GET", url = chain.proxy.url }: {
    readonly url?: string
    readonly method?: string
    readonly headers?: Http.OutgoingHttpHeaders
    readonly body?: string | Buffer
  } = {}
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = Http.request(url + path, { method, headers, agent: false }, (response) => {
      textOf(response).then(
        (text) => resolve({ status: response.statusCode, headers: response.headers, text }),
        reject
      )
    })
    request.on("error", reject).end(body)
  })

const chat = JSON.stringify({ model: "llama3.2", messages: [{ role: "user", content: "Hello!" }] })
const JSON_TYPE = { "content-type": "application/json" }

const post = (headers: Http.OutgoingHttpHeaders = {}, body: string | Buffer = chat) =>
  ask("/v1/chat/completions", { method: "POST", headers: { ...JSON_TYPE, ...headers }, body })

const errorOf = ({ status, text }: Answer) => ({ status, code: JSON.parse(text).error.code })

describe("Host", () => {
  it.each(["evil", "evil:12436", "localhost.evil", "127.0.0.1.evil", "evil.127.0.0.1", "127.0.0.2",
    "user@localhost"])(
    "%j is refused",
    async (host) => {
      const asked = chain.upstream.requests.length
      expect(errorOf(await ask("/v1/models", { headers: { host } }))).toEqual({ status: 403,
        code: "forbidden" })
      expect(errorOf(await post({ host }))).toEqual({ status: 403, code: "forbidden" })
      expect(chain.upstream.requests.length).toBe(asked)
    }
  )

  it("is missing or empty, which is refused", async () => {
    const { port } = new URL(chain.proxy.url)
    const raw = (text: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = Net.connect(Number(port), "127.0.0.1", () => socket.write(text)).on("error", reject)
        void textOf(socket).then((answer) => resolve(answer.split("\r\n")[0]!), reject)
      })
    expect({
      missing: await raw("GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n"),
      older: await raw("GET /v1/models HTTP/1.0\r\n\r\n"),
      empty: await raw("GET /v1/models HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
    }).toEqual({
      missing: "HTTP/1.1 400 Bad Request",
      older: "HTTP/1.1 403 Forbidden",
      empty: "HTTP/1.1 403 Forbidden"
    })
  })

  it.each(["localhost", "LOCALHOST", "LocalHost:1", "127.0.0.1", "[::1]:12436", "nomyo.lan"])("%j comes in",
    async (host) => {
      expect(await ask("/health", { headers: { host } })).toMatchObject({ status: 200 })
    })
})

describe("Origin", () => {
  it.each(["https://evil.example", "null", "https://chat.example.evil", "http://chat.example",
    "vscode-webview://x"])(
    "%s is refused, and so is its preflight",
    async (origin) => {
      const asked = chain.upstream.requests.length
      const refused = await post({ origin })
      expect(errorOf(refused)).toEqual({ status: 403, code: "forbidden" })
      expect(refused.headers).not.toHaveProperty("access-control-allow-origin")
      const headers = { origin, "access-control-request-method": "POST" }
      const preflight = await ask("/v1/chat/completions", { method: "OPTIONS", headers })
      expect(preflight.status).toBe(403)
      expect(preflight.headers).not.toHaveProperty("access-control-allow-origin")
      expect(chain.upstream.requests.length).toBe(asked)
    }
  )

  it.each(["https://chat.example", "app://obsidian.md"])("%s comes in, with the headers that it asks for",
    async (origin) => {
      const preflight = await ask("/v1/chat/completions", {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type,x-stainless-lang"
        }
      })
      expect(preflight).toMatchObject({
        status: 204,
        headers: {
          "access-control-allow-origin": origin,
          "access-control-allow-headers": "authorization,content-type,x-stainless-lang"
        }
      })
      expect(await post({ origin })).toMatchObject({ status: 200,
        headers: { "access-control-allow-origin": origin } })
    })

  it("is missing where a page fetches without one", async () => {
    const headers = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" }
    expect(await ask("/v1/models", { headers })).toMatchObject({ status: 403 })
  })
})

describe("the body", () => {
  it.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/jsonp"])(
    "%s is refused",
    async (type) => {
      expect(errorOf(await post({ "content-type": type }))).toEqual({ status: 415,
        code: "unsupported_media_type" })
    }
  )

  it("has a charset", async () => {
    expect(await post({ "content-type": "application/json; charset=utf-8" })).toMatchObject({ status: 200 })
  })

  it.each([["with its length", {}], ["in chunks", { "transfer-encoding": "chunked" }]])(
    "of 20 MB is refused, %s",
    async (_, headers) => {
      const answer = await post(headers, Buffer.alloc(20_000_000, "a"))
      expect(errorOf(answer)).toEqual({ status: 413, code: "request_too_large" })
    }
  )

  it.each(["", "[]", "{", "\u0000"])("that is %j is no JSON object", async (body) => {
    expect(errorOf(await post({}, body))).toEqual({ status: 400, code: "invalid_json" })
  })

  it.each(["base_url", "api_key"])("has no %s", async (name) => {
    const body = JSON.stringify({ ...JSON.parse(chat), [name]: "x" })
    expect(errorOf(await post({}, body))).toEqual({ status: 400, code: "unsupported_parameter" })
  })
})

const file = (name: string, text: string): string => {
  const path = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-")), name)
  Fs.writeFileSync(path, text, { mode: 0o600 })
  return path
}

describe("a token", () => {
  it.each([
    ["from the environment", [], { NOMYO_PROXY_TOKEN: "proxy-token-1" }, ""],
    ["from a file", ["--token-file", file("token", "proxy-token-1\n")], {}, ""],
    ["from standard input", ["--token-file", "-"], {}, "proxy-token-1\n"]
  ])("%s lets its tools in, and nobody else", async (_, args, env, stdin) => {
    const proxy = await startProxy(["--base-url", chain.router.url, "--allow-http", ...args], env, stdin)
    try {
      const { url } = proxy
      const status = async (headers: Http.OutgoingHttpHeaders) =>
        (await ask("/v1/models", { url, headers })).status
      expect({
        none: await status({}),
        wrong: await status({ authorization: "Bearer proxy-token-2" }),
        prefix: await status({ authorization: "Bearer proxy-token-" }),
        basic: await status({ authorization: "Basic proxy-token-1" }),
        right: await status({ authorization: "Bearer proxy-token-1" }),
        azure: await status({ "api-key": "proxy-token-1" })
      }).toEqual({ none: 401, wrong: 401, prefix: 401, basic: 401, right: 200, azure: 200 })
      expect((await ask("/health", { url })).status).toBe(200)
      const refused = await ask("/v1/chat/completions", { url, method: "POST", headers: JSON_TYPE,
        body: chat })
      expect(errorOf(refused)).toEqual({ status: 401, code: "invalid_api_key" })
      expect(proxy.output()).not.toContain("proxy-token")
    } finally {
      await proxy.stop()
    }
  })

  it("does not reach the router, and the tool's own key does without one", async () => {
    const router = await startRouter([], { env: { NOMYO_ROUTER_API_KEY: "sk-router-1" } })
    const args = ["--base-url", router.url, "--allow-http"]
    const asking = async (env: NodeJS.ProcessEnv, key: string) => {
      const proxy = await startProxy(args, env)
      const headers = { ...JSON_TYPE, authorization: `Bearer ${key}` }
      const { status } = await ask("/v1/chat/completions", { url: proxy.url, method: "POST", headers,
        body: chat })
      await proxy.stop()
      return status
    }
    try {
      expect({
        toolsKey: await asking({}, "sk-router-1"),
        toolsWrongKey: await asking({}, "sk-router-2"),
        tokenAlone: await asking({ NOMYO_PROXY_TOKEN: "sk-router-1" }, "sk-router-1"),
        both: await asking({ NOMYO_PROXY_TOKEN: "t", NOMYO_API_KEY: "sk-router-1" }, "t")
      }).toEqual({ toolsKey: 200, toolsWrongKey: 401, tokenAlone: 401, both: 200 })
    } finally {
      await router.stop("SIGINT")
    }
  })
})

describe("a start beyond loopback", () => {
  const start = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
    nomyo(["proxy", "--port", "0", "--host", "0.0.0.0", "--base-url", chain.router.url, "--allow-http",
      ...args], {
      env: { NOMYO_PROXY_TOKEN: "", ...env }
    })

  it("needs a token", async () => {
    expect(await start([])).toMatchObject({ code: 2, stdout: "",
      stderr: expect.stringContaining("NOMYO_PROXY_TOKEN") })
  })

  it("needs TLS or the flag that says it is not needed", async () => {
    const ended = await start([], { NOMYO_PROXY_TOKEN: "proxy-token-1" })
    expect(ended).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("--tls-cert") })
    expect(ended.stderr).not.toContain("proxy-token-1")
  })

  it.each(["plain", "tls"])("works with a token and %s", async (kind) => {
    const { cert, key } = await certificate()
    const tls = ["--tls-cert", file("cert.pem", cert), "--tls-key", file("key.pem", key)]
    const args = ["--host", "0.0.0.0", "--base-url", chain.router.url, "--allow-http",
      ...(kind === "tls" ? tls : ["--plain-http"])]
    const proxy = await startProxy(args, { NOMYO_PROXY_TOKEN: "proxy-token-1" })
    expect(proxy.baseUrl).toMatch(
      kind === "tls" ? /^https:\/\/127\.0\.0\.1:\d+\/v1$/ : /^http:\/\/127\.0\.0\.1:\d+\/v1$/
    )
    expect(await proxy.stop()).toBe(0)
  })
})

describe("the banner", () => {
  it.each([
    ["warns of an HTTP proxy that gets prompts in the clear", { http_proxy: "http://127.0.0.1:9" }, true],
    ["is silent where loopback is exempt", { HTTP_PROXY: "http://127.0.0.1:9",
      NO_PROXY: "localhost, 127.0.0.1" }, false],
    ["is silent without one", {}, false]
  ])("%s", async (_, env, warns) => {
    const proxy = await startProxy(["--base-url", chain.router.url, "--allow-http"], env)
    await proxy.stop()
    expect(proxy.output().includes("IN THE CLEAR")).toBe(warns)
  })
})
