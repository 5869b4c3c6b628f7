import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { NomyoClient } from "../../src/NomyoClient.js"
import * as Node from "../../src/platform/node/index.js"
import { disguises } from "../support/disguises.js"
import * as Servers from "../support/servers.js"

const PROMPT = "a prompt that nobody on the wire may read"
const SYSTEM = "nor this instruction"
const API_KEY = "sk-wire-0123456789abcdef"

const request = {
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "system", content: SYSTEM }, { role: "user", content: PROMPT }],
  user: "the user's name"
} as const

const create = Effect.flatMap(NomyoClient, (client) => client.create(request))

describe("on the wire", () => {
  it.scopedLive("there is ciphertext only, and the API key in the Authorization header alone", () =>
    Effect.gen(function*() {
      const tap = yield* Servers.wiretap(yield* Servers.router({ apiKey: Redacted.make(API_KEY) }))
      const answer = yield* Effect.provide(
        create,
        Node.layer({ baseUrl: tap.url, allowHttp: true, keyDir: false, keySize: 2048, apiKey: API_KEY })
      )
      assert.strictEqual(answer.choices[0]?.message.content, `You said: ${PROMPT}`)
      const bytes = tap.bytes().toString("latin1")
      const others = bytes.replace(/^authorization: .*$/gim, "")
      assert.include(bytes, `Bearer ${API_KEY}`)
      assert.include(bytes, "hybrid-aes256-rsa4096")
      assert.strictEqual(bytes.length - others.length, `authorization: Bearer ${API_KEY}`.length)
      for (const secret of [PROMPT, SYSTEM, "You said:", "the user's name", "assistant", "chat.completion",
        "Qwen3-0.6B"]) {
        for (const disguise of disguises(secret)) assert.notInclude(bytes, disguise)
      }
      for (const disguise of disguises(API_KEY)) assert.notInclude(others, disguise)
    }))

  it.scopedLive("over TLS: a certificate that is trusted is taken, one that is not is refused", () =>
    Effect.gen(function*() {
      const tls = yield* Effect.promise(Servers.certificate)
      const url = yield* Servers.router({ tls })
      const refused = yield* Effect.flip(
        Effect.provide(create, Node.layer({ baseUrl: url, keyDir: false, keySize: 2048 }))
      )
      assert.deepInclude(refused, { _tag: "SecurityError", reason: "certificate", attempts: 1 })

      // Node reads extra authorities at its start only
      const authority = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-")), "ca.pem")
      Fs.writeFileSync(authority, tls.cert)
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, ["dist/cli/nomyo.cjs", "chat", PROMPT, "--base-url", url], {
          env: { ...process.env, NODE_EXTRA_CA_CERTS: authority, NOMYO_KEY_SIZE: "2048" }
        })
      )
      assert.strictEqual(stdout, `You said: ${PROMPT}\n`)
    }))
})
