/** Log probabilities of the echo model's words: made up, and the same for the same seed. */
import type { ChatCompletionRequest } from "../ChatCompletion.js"
import * as Bytes from "../internal/codecs/bytes.js"

/** As many alternatives as OpenAI's API gives for a token. */
const MAX_TOP = 20
/** Entries of one answer, over all choices. */
const MAX_ENTRIES = 100_000

const topOf = ({ top_logprobs }: ChatCompletionRequest): number =>
  typeof top_logprobs === "number" ? Math.max(0, Math.min(MAX_TOP, Math.floor(top_logprobs))) : 0

/** How many tokens an answer with log probabilities may have. */
export const maxTokens = (request: ChatCompletionRequest): number =>
  request["logprobs"] === true ? Math.ceil(MAX_ENTRIES / ((request.n ?? 1) * (1 + topOf(request)))) : Infinity

/** FNV-1a of a text, in 32 bits. */
const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}

/** A longer token has no bytes, which would take several times its length. */
const LONGEST_WITH_BYTES = 256

const entry = (token: string, logprob: number) => ({
  token,
  logprob,
  bytes: token.length > LONGEST_WITH_BYTES ? null : [...Bytes.fromText(token)]
})

/** How often the words of an answer are in its log probabilities. */
export const repetitions = (request: ChatCompletionRequest): number =>
  request["logprobs"] === true ? 1 + topOf(request) : 0

/** `choice.logprobs` for the words of an answer; absent unless the request asks for it. */
export const of = (request: ChatCompletionRequest, words: ReadonlyArray<string>): object | undefined => {
  if (request["logprobs"] !== true) return undefined
  const content = words.map((word, index) => {
    // between 0.5 and 1, so that no alternative is more likely
    const probability = 0.5 + hash(`${String(request["seed"] ?? "")} ${index} ${word}`) / 2 ** 33
    const chance = (rank: number) => rank === 0 ? probability : (1 - probability) / 2 ** rank
    const alternatives = Array.from({ length: topOf(request) }, (_, rank) =>
      entry(`${word}${"'".repeat(rank)}`, Math.log(chance(rank))))
    return { ...entry(word, Math.log(probability)), top_logprobs: alternatives }
  })
  return { content, refusal: null }
}
