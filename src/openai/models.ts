/** OpenAI's list of models, made of ids. */
import { Refusal } from "./errors.js"

/** The ids that the service's documentation names (`doc/models.md`). */
export const DEFAULT_MODELS: ReadonlyArray<string> = [
  "Qwen/Qwen3-0.6B",
  "Qwen/Qwen3.5-0.8B",
  "Qwen/Qwen3.5-9B",
  "LiquidAI/LFM2.5-1.2B-Thinking",
  "ibm-granite/granite-4.0-h-small",
  "utter-project/EuroLLM-9B-Instruct-2512",
  "zai-org/GLM-4.7-Flash",
  "mistralai/Ministral-3-14B-Instruct-2512-GGUF"
]

/** One model. When it was made is not known. */
export interface Model {
  readonly id: string
  readonly object: "model"
  readonly created: 0
  readonly owned_by: string
}

const modelOf = (id: string): Model => {
  const [owner = "", name] = id.split("/")
  return { id, object: "model", created: 0, owned_by: name === undefined ? "nomyo" : owner }
}

/** All of them. */
export interface ModelList {
  readonly object: "list"
  readonly data: ReadonlyArray<Model>
}

/** The answer to `GET /models`. */
export const listOf = (ids: ReadonlyArray<string>): ModelList => ({ object: "list", data: ids.map(modelOf) })

/** The answer to `GET /models/{id}`. Throws a `Refusal` if the id is not in the list. */
export const find = (ids: ReadonlyArray<string>, id: string): Model => {
  if (ids.includes(id)) return modelOf(id)
  throw new Refusal(404, "model_not_found", "There is no such model: GET /models lists the ids", "model")
}
