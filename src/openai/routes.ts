/** Which of OpenAI's calls a method and a path stand for. */
import { Refusal } from "./errors.js"

/** A call that is supported. */
export type Route =
  | {
    readonly name: "completions"
    /** The deployment in an Azure path: the model, if the body names none. */
    readonly deployment?: string | undefined
  }
  | { readonly name: "models" }
  | { readonly name: "model"; readonly id: string }

const SUPPORTED = "POST /chat/completions, GET /models and GET /models/{id} are supported"

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Throws for any other method. */
const only = (allowed: "GET" | "POST", method: string, route: Route): Route => {
  if (method === allowed) return route
  throw new Refusal(405, "method_not_allowed", `This method is not allowed here: ${SUPPORTED}`)
}

/** The API that a path belongs to, and nothing that the caller made up. */
const apiOf = (path: string): string => /^\/(?:v1\/)?([a-z_]{1,40})(?:\/|$)/.exec(path)?.[1] ?? "this path"

/** Throws a `Refusal`: 404 for a path that is not supported, 405 for a method. */
export const routeOf = (method: string, pathname: string): Route => {
  const path = pathname.replace(/\/+$/, "")
  // `openai` 6 leaves the slash of a model id as it is
  const azure = /^\/openai\/deployments\/(.+)\/chat\/completions$/.exec(path)
  if (azure !== null) return only("POST", method, { name: "completions", deployment: decode(azure[1]!) })
  const [, call, id] = /^(?:\/openai)?(?:\/v1)?\/(chat\/completions|models)(?:\/(.+))?$/.exec(path) ?? []
  if (call === "chat/completions" && id === undefined) return only("POST", method, { name: "completions" })
  if (call === "models" && id === undefined) return only("GET", method, { name: "models" })
  if (call === "models" && id !== undefined) return only("GET", method, { name: "model", id: decode(id) })
  throw new Refusal(404, "unsupported_path", `${apiOf(path)} is not supported: ${SUPPORTED}`)
}
