import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"

/** The path of a file in `test/vectors`. */
export const path = (name: string): string => fileURLToPath(new URL(`../vectors/${name}`, import.meta.url))

const json = <A>(name: string): ReadonlyArray<A> => JSON.parse(Fs.readFileSync(path(name), "utf8"))

export const requests = json<{ readonly name: string; readonly payload: object; readonly body: string }>(
  "requests.json"
)

export const responses = json<{
  readonly name: string
  readonly client_key: string
  readonly payload_id: string
  readonly body: string
  readonly expected: object
}>("responses.json")

export const badResponses = json<
  { readonly name: string; readonly why: string; readonly body_base64: string }
>(
  "bad-responses.json"
)

export const password = Fs.readFileSync(path("keys/password.txt"), "utf8").trim()
