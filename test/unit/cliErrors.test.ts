/** Messages of the library in the words of the command line. */
import { assert, describe, it } from "@effect/vitest"
import { withFlags } from "../../src/cli/errors.js"

describe("withFlags", () => {
  it.each([
    ["Try again, or raise timeout", "Try again, or raise NOMYO_TIMEOUT"],
    ["Set keyDir: false. Check apiKey", "Set NOMYO_KEY_DIR=memory. Check NOMYO_API_KEY"],
    ["Check the router's URL (baseUrl, NOMYO_BASE_URL or the request's base_url)",
      "Check the router's URL (--base-url)"],
    ["Invalid baseUrl \"http://x\" (http:// needs allowHttp)",
      "Invalid --base-url \"http://x\" (http:// needs --allow-http)"]
  ])("names flags and variables: %s", (message, expected) => {
    assert.strictEqual(withFlags(message), expected)
  })

  it.each([
    "There is no option --idle-timeout",
    "/keys/padding/key.pem is readable by others",
    "Could not reach https://timeout.example/padding",
    "padding/key.pem is no private key"
  ])("leaves flags, paths and URLs as they are: %s", (message) => {
    assert.strictEqual(withFlags(message), message)
  })
})
