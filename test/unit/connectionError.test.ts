import { assert, describe, it } from "@effect/vitest"
import { SecurityError } from "../../src/NomyoError.js"
import * as Errors from "../../src/internal/connectionError.js"

const connectionError = (error: unknown) =>
  Errors.connectionError(error, "https://router.test/pki/public_key")

describe("connectionError", () => {
  it.each([
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "CERT_HAS_EXPIRED",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "HOSTNAME_MISMATCH",
    "INVALID_CA",
    "INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED",
    "CERT_REVOKED"
  ])("knows %s for a certificate's fault", (code) => {
    const error = connectionError(
      new TypeError("fetch failed", { cause: Object.assign(new Error("SENTINEL"), { code }) })
    )
    assert.deepInclude(error, { _tag: "SecurityError", reason: "certificate",
      message:
        `The TLS certificate of https://router.test is not trusted (${code}). For a private authority, set NODE_EXTRA_CA_CERTS` })
    assert.notInclude(JSON.stringify(error), "SENTINEL")
  })

  it.each([
    ["ECONNREFUSED", " (ECONNREFUSED: nothing listens there)"],
    ["EAI_AGAIN", " (EAI_AGAIN: the name server does not answer)"],
    ["ENOTFOUND", " (ENOTFOUND: the host does not exist)"],
    ["ETIMEDOUT", " (ETIMEDOUT: the host does not answer)"],
    ["ECONNRESET", " (ECONNRESET: the other side closed the connection)"],
    ["EPROTO", " (EPROTO: TLS failed, as with a server that speaks plain HTTP)"],
    ["UND_ERR_SOCKET", " (UND_ERR_SOCKET)"],
    [undefined, ""]
  ])("knows %s for the network's, and says where and what to check", (code, detail) => {
    assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), {
      reason: "network",
      message: `Could not reach https://router.test${detail}. Check the router's URL ` +
        "(baseUrl, NOMYO_BASE_URL or the request's base_url) and the network"
    })
  })

  it.each(["MY_HPE_1", "UND_ERR_HEADERS_OVERFLOWN", "X_UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT_2"])(
    "takes %s for no code that it knows",
    (code) => {
      assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), { reason: "network" })
    }
  )

  it("looks for a code in eight causes, and in no more", () => {
    const buried = (depth: number): Error =>
      depth === 0
        ? Object.assign(new Error("x"), { code: "ECONNREFUSED" })
        : new Error("y", { cause: buried(depth - 1) })
    assert.include(connectionError(buried(7)).message, "ECONNREFUSED")
    assert.notInclude(connectionError(buried(8)).message, "ECONNREFUSED")
    const circular = new Error("z")
    circular.cause = circular
    for (const error of [circular, Object.assign(new Error("x"), { code: 7 }), { code: "ECONNREFUSED" },
      "ECONNREFUSED", undefined]) {
      assert.match(connectionError(error).message, /^Could not reach https:\/\/router\.test\. /)
    }
  })

  it("leaves a request's own failure as it is", () => {
    const failure = new SecurityError({ reason: "encryption", message: "No more of it" })
    assert.strictEqual(connectionError(failure), failure)
  })

  it("repeats nothing of a URL that it cannot read", () => {
    assert.match(Errors.connectionError(new Error("x"), "SENTINEL").message, /^Could not reach The router\. /)
  })

  it("knows a parser's error that has no code", () => {
    const error = Object.assign(new Error("x"), { name: "HTTPParserError" })
    assert.deepInclude(connectionError(error), { reason: "protocol",
      message: "The router's answer is not HTTP (HPE_INVALID). Check the port in baseUrl" })
  })

  it.each(["HPE_INVALID_CONSTANT", "UND_ERR_HEADERS_OVERFLOW", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH"])(
    "knows %s for the router's",
    (code) => {
      assert.deepInclude(connectionError(Object.assign(new Error("x"), { code })), {
        _tag: "APIConnectionError",
        reason: "protocol"
      })
    }
  )

  it.each(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"])("knows %s for a client's own timeout",
    (code) => {
      const error = connectionError(Object.assign(new Error("x"), { code }))
      assert.deepInclude(error, { _tag: "APIConnectionError", reason: "timeout",
        message: `https://router.test was silent for too long (${code}). Try again, or raise timeout` })
    })
})
