/** A model server's failure for the router's log: its message, without words of the request. */

/** Words of error messages, which say nothing of a request even if it holds them too. */
const ORDINARY = new Set(
  ("a all allocate already an and api are at available bad be been being bytes cannot check connection " +
    "content context could credit cuda does down error exceeded exceeds exist exists expected failed " +
    "failure filter first for found from gib gpu has image images in input instead internal invalid is " +
    "it its json key length limit limits loaded loading long longer loss maximum memory message " +
    "messages mib missing model more must nan nat no not null number of on only or out output param " +
    "parameter permission please policy process prompt provided pull pulling quota rate reached request " +
    "requested requests required requires role runner scheduling server service size slot stop stopped " +
    "support supported supports system temperature terminated than that the this timeout to token " +
    "tokens tool tools too tried try type unable unauthorized unavailable unexpected unknown " +
    "unsupported up use user value vram wait was with").split(" ")
)

/** As much of a server's text as is looked at, in characters. */
const LONGEST_TEXT = 300
/** A request of more characters is not searched for each word: only ordinary words are kept then. */
const LONGEST_SEARCH = 256 * 1024
const HIDDEN = "…"

/** All texts of a request, one below the other. */
const textsOf = (value: unknown): string =>
  typeof value === "string" || typeof value === "number"
    ? String(value)
    : typeof value === "object" && value !== null
    ? Object.values(value).map(textsOf).join("\n")
    : ""

/** API keys, and what may be a text in another notation: escapes, percent-encoding, long runs of base64. */
const SUSPICIOUS = /\b(sk|key|hf|gsk|xai|pk)[-_][\w*.-]+|(\\x[0-9a-f]{2}|%[0-9a-f]{2})+|[\w+/=-]{40,}/gi

const unescape = (text: string): string =>
  text.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

/**
 * A server's text for a log: at most 300 characters in one line. A word that the request holds too is hidden,
 * unless it is an ordinary word of error messages; so are API keys and encoded texts.
 */
export const cleaned = (text: string, request: unknown): string => {
  const own = textsOf(request).toLowerCase()
  const isKept = (word: string) =>
    ORDINARY.has(word) || (own.length <= LONGEST_SEARCH && !own.includes(word))
  return unescape(text.slice(0, LONGEST_TEXT))
    .replace(SUSPICIOUS, HIDDEN)
    .replace(/[\p{L}\p{N}_]+/gu, (word) => isKept(word.toLowerCase()) ? word : HIDDEN)
    // control and format characters could steer a terminal
    .replace(/[\p{C}\s]+/gu, " ")
    .replace(/…(?:[^\p{L}\p{N}]*…)+/gu, HIDDEN)
    .trim()
}
