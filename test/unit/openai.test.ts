/** OpenAI's shapes, by themselves: errors, paths, bodies, models. */
import { describe, expect, it } from "vitest"
import { fromStatus } from "../../src/internal/errors.js"
import {
  APIConnectionError,
  APIError,
  AuthenticationError,
  type ConnectionReason,
  DisposedError,
  ForbiddenError,
  InvalidRequestError,
  RateLimitError,
  SecurityError,
  type SecurityReason,
  ServerError,
  ServiceUnavailableError
} from "../../src/NomyoError.js"
import { answerFor, answerOf, isFailure, Refusal } from "../../src/openai/errors.js"
import { DEFAULT_MODELS, find, listOf } from "../../src/openai/models.js"
import { mapRequest } from "../../src/openai/requests.js"
import { routeOf } from "../../src/openai/routes.js"
import * as Pages from "../support/pages.js"

const refusal = (call: () => unknown) => {
  try {
    call()
  } catch (error) {
    if (error instanceof Refusal) return { status: error.answer.status, ...error.answer.body.error }
    throw error
  }
  throw new Error("Nothing was refused")
}

describe("an error", () => {
  const message = "What happened"
  const reasons: ReadonlyArray<SecurityReason> = ["certificate", "redirect", "router-key-pin", "envelope",
    "replay", "response-too-large"]

  it("of each status keeps it, and only 429 and 5xx may be repeated", () => {
    const errors = [
      new InvalidRequestError({ message }),
      new AuthenticationError({ message }),
      new ForbiddenError({ message }),
      fromStatus({ statusCode: 404, message }),
      fromStatus({ statusCode: 413, message }),
      new RateLimitError({ message }),
      new ServerError({ message }),
      fromStatus({ statusCode: 502, message }),
      new ServiceUnavailableError({ message })
    ]
    expect(errors.map((error) => {
      const { body, headers, status } = answerOf(error)
      return { status, type: body.error.type, code: body.error.code,
        again: headers["x-should-retry"] !== "false" }
    })).toEqual([
      { status: 400, type: "invalid_request_error", code: null, again: false },
      { status: 401, type: "authentication_error", code: "invalid_api_key", again: false },
      { status: 403, type: "permission_error", code: null, again: false },
      { status: 404, type: "invalid_request_error", code: "not_found", again: false },
      { status: 413, type: "invalid_request_error", code: null, again: false },
      { status: 429, type: "rate_limit_error", code: "rate_limit_exceeded", again: true },
      { status: 500, type: "server_error", code: null, again: true },
      { status: 502, type: "server_error", code: null, again: true },
      { status: 503, type: "server_error", code: null, again: true }
    ])
  })

  describe("that a tool would repeat", () => {
    const all = [402, 405, 406, 407, 408, 409, 410, 411, 412, 413, 415, 418, 421, 422, 423, 425, 431, 451,
      499]

    /** The statuses that this tool gets with another status or code. */
    const changed = (userAgent: string | undefined) =>
      all.flatMap((statusCode) => {
        const answer = answerOf(fromStatus({ statusCode, message }))
        const { body, headers, status } = answerFor(userAgent, answer)
        expect(headers).toEqual({ "x-should-retry": "false" })
        expect({ ...body.error, code: null }).toEqual(answer.body.error)
        return body.error.code === null ? [] : [[statusCode, status, body.error.code]]
      })

    it.each([["OpenAI/JS 7.57.0"], [undefined]])("is the same for %s", (userAgent) => {
      expect(changed(userAgent)).toEqual([])
    })

    it("has another status for the AI SDK, which looks at nothing else", () => {
      expect(changed("ai/7.0.173 ai-sdk-provider-utils/5.0.81 node.js/v20.20.2"))
        .toEqual([[408, 400, "http_408"], [409, 400, "http_409"]])
    })

    it.each(["openai/1.0.0", "azure-openai/2.0.0"])("keeps its status, not its code, for langchainjs-%s",
      (name) => {
        const repeated = all.filter((status) => ![402, 405, 406, 407, 409, 413].includes(status))
        expect(changed(`langchainjs-${name} (node/v20.20.2; linux; x64)`))
          .toEqual(repeated.map((status) => [status, status, "ECONNABORTED"]))
      })
  })

  it("of security is a 400 with its reason", () => {
    for (const reason of reasons) {
      expect(answerOf(new SecurityError({ reason, message })))
        .toEqual({ status: 400, headers: { "x-should-retry": "false" },
          body: { error: { message, type: "security_error", param: null, code: reason } } })
    }
    expect(answerOf(new DisposedError())).toMatchObject({ status: 400,
      body: { error: { code: "disposed" } } })
  })

  it("of the network is a 502, and a timeout a 504", () => {
    const statusOf = (reason: ConnectionReason) =>
      answerOf(new APIConnectionError({ reason, message })).status
    expect(
      ["network", "truncated", "protocol", "cors", "timeout"].map((reason) =>
        statusOf(reason as ConnectionReason)
      )
    )
      .toEqual([502, 502, 502, 502, 504])
  })

  it("with an answer that is no completion is a 502", () => {
    expect(answerOf(new APIError<"APIError">({ statusCode: 200, message })).status).toBe(502)
  })

  it("passes on the wait, and forbids to repeat after more than a minute or after the client's own retries", () => {
    const headersOf = (retryAfter: number | undefined, attempts: number) =>
      answerOf(new RateLimitError({ message, retryAfter, attempts, payloadId: "p-1" })).headers
    expect([headersOf(undefined, 1), headersOf(1500.2, 1), headersOf(60_000, 1), headersOf(60_001, 1),
      headersOf(undefined, 3)]).toEqual([
      { "x-request-id": "p-1" },
      { "x-request-id": "p-1", "retry-after": "2", "retry-after-ms": "1501" },
      { "x-request-id": "p-1", "retry-after": "60", "retry-after-ms": "60000" },
      { "x-request-id": "p-1", "retry-after": "61", "retry-after-ms": "60001", "x-should-retry": "false" },
      { "x-request-id": "p-1", "x-should-retry": "false" }
    ])
  })

  it("is known by its tag, of whatever copy of the package", () => {
    expect(
      [new DisposedError(), { ...new DisposedError() }, new Error("-"), { _tag: "None" }, null, "x"].map(
        isFailure
      )
    )
      .toEqual([true, true, false, false, false, false])
  })
})

describe("a path", () => {
  it.each(["/chat/completions", "/v1/chat/completions", "/v1/chat/completions/",
    "/openai/v1/chat/completions"])("%s is a completion", (path) => {
    expect(routeOf("POST", path)).toEqual({ name: "completions" })
  })

  it.each(["Qwen%2FQwen3-0.6B", "Qwen/Qwen3-0.6B"])("of Azure names the deployment %s", (deployment) => {
    expect(routeOf("POST", `/openai/deployments/${deployment}/chat/completions`)).toEqual({
      name: "completions",
      deployment: "Qwen/Qwen3-0.6B"
    })
  })

  it("of models is the list or one of them, with the slash of an id encoded or not", () => {
    expect([routeOf("GET", "/v1/models"), routeOf("GET", "/models/a%2Fb"), routeOf("GET", "/v1/models/a/b"),
      routeOf("GET", "/models/%")]).toEqual([
      { name: "models" },
      { name: "model", id: "a/b" },
      { name: "model", id: "a/b" },
      { name: "model", id: "%" }
    ])
  })

  it.each([
    ["/v1/responses", "responses"],
    ["/v1/embeddings", "embeddings"],
    ["/v1/completions", "completions"],
    ["/v1/chat/completions/abc", "chat"],
    ["/v1/images/generations", "images"],
    ["/", "this path"],
    ["/v1/Secret", "this path"]
  ])("%s is refused, and what is supported is named", (path, name) => {
    expect(refusal(() => routeOf("POST", path))).toEqual({
      status: 404,
      code: "unsupported_path",
      type: "invalid_request_error",
      param: null,
      message:
        `${name} is not supported: POST /chat/completions, GET /models and GET /models/{id} are supported`
    })
  })

  it.each([["GET", "/v1/chat/completions"], ["POST", "/v1/models"], ["DELETE", "/v1/models/a"]])(
    "%s %s is refused",
    (method, path) => {
      expect(refusal(() => routeOf(method, path))).toMatchObject({ status: 405, code: "method_not_allowed" })
    }
  )
})

describe("a body", () => {
  const map = (body: object | string, options = {}) =>
    mapRequest(typeof body === "string" ? body : JSON.stringify(body), options)

  it("is passed on without what asks for a stream", () => {
    expect(map({ model: "m", messages: [], stream: true, stream_options: { include_usage: true }, seed: 1 }))
      .toEqual({ request: { model: "m", messages: [], seed: 1 }, stream: true, includeUsage: true })
    expect(map({ model: "m", stream: null, stream_options: null })).toEqual({ request: { model: "m" },
      stream: false, includeUsage: false })
  })

  it.each(["base_url", "api_key"])("with %s is refused, whatever its value", (name) => {
    for (const value of ["https://evil.example", "", null, { a: 1 }]) {
      expect(refusal(() => map({ model: "m", [name]: value }))).toMatchObject({ status: 400,
        code: "unsupported_parameter", param: name })
    }
  })

  it.each(["", "{", "[]", "null", "3", "\"text\"", "{\"a\":1}x", "\ufeff{}"])("%j is refused", (text) => {
    expect(refusal(() => map(text))).toMatchObject({ status: 400, code: "invalid_json" })
  })

  it("with a stream or stream_options of the wrong type is refused", () => {
    expect(refusal(() => map({ stream: "true" }))).toMatchObject({ status: 400, param: "stream" })
    expect(refusal(() => map({ stream_options: "x" }))).toMatchObject({ status: 400,
      param: "stream_options" })
  })

  it("gets the key of the header, and the model of the deployment if it has none", () => {
    expect(map({ messages: [] }, { apiKey: "k", deployment: "d" }).request).toEqual({ messages: [],
      model: "d", api_key: "k" })
    expect(map({ model: "m" }, { deployment: "d" }).request).toEqual({ model: "m" })
  })
})

describe("models", () => {
  it("are those of the documentation", () => {
    const cells = [...Pages.read("doc/models.md").matchAll(/^\| ([^|]+) \|/gm)].map(([, cell]) => cell!)
    const ids = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+\/[^`]+)`/g)].map(([, id]) => id))
    expect(DEFAULT_MODELS).toEqual(ids)
  })

  it("are listed, found, or not there", () => {
    expect(listOf(["a/b", "c"])).toEqual({
      object: "list",
      data: [{ id: "a/b", object: "model", created: 0, owned_by: "a" }, { id: "c", object: "model",
        created: 0, owned_by: "nomyo" }]
    })
    expect(find(["a/b"], "a/b")).toMatchObject({ id: "a/b" })
    expect(refusal(() => find(["a/b"], "c"))).toMatchObject({ status: 404, code: "model_not_found",
      param: "model" })
  })
})
