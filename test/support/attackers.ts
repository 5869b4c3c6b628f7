/**
 * What attackers get of each protocol. The tests try it, and the security guide has it as a table.
 */

export const ANSWER = "SENTINEL of the answer"

/** What both sides have of a request that went through an attacker. */
interface Outcome {
  /** What the attacker has read. */
  readonly reads: ReadonlyArray<"prompt" | "answer">
  /** The answer that the client got, or its error. */
  readonly got: string
  /** The security tiers that the router was asked for. */
  readonly tiers: ReadonlyArray<string>
}

interface Cell {
  /** The table's words for the outcome. */
  readonly words: string
  readonly outcome: Outcome
}

/** The clients of the table's columns. "Pinned" is one that pins the router's key. */
export const columns = ["1.0", "1.0 pinned", "2", "2 pinned"] as const

const row = (
  ...cells: ReadonlyArray<readonly [words: string, outcome: Outcome]>
): { readonly [column: string]: Cell } =>
  Object.fromEntries(cells.map(([words, outcome], i) => [columns[i]!, { words, outcome }]))

/** A request that went as it should. */
const fine: Outcome = { reads: [], got: ANSWER, tiers: ["high"] }
const refused: Outcome = { reads: [], got: "SecurityError router-key-pin", tiers: [] }

const unsigned: Outcome = { reads: [], got: "AuthenticationError, not authenticated", tiers: [] }

export const attackers: { readonly [attacker: string]: { readonly [column: string]: Cell } } = {
  "only records": row(
    ["nothing", fine],
    ["nothing", fine],
    ["nothing", fine],
    ["nothing", fine]
  ),
  "swaps the client's key": row(
    ["**the answer**", { ...fine, reads: ["answer"] }],
    ["**the answer**", { ...fine, reads: ["answer"] }],
    ["nothing: there is none", fine],
    ["nothing: there is none", fine]
  ),
  "swaps the router's key": row(
    ["**prompt and answer**", { ...fine, reads: ["prompt"], tiers: [] }],
    ["nothing is sent", refused],
    ["**prompt and answer**", { ...fine, reads: ["prompt"], tiers: [] }],
    ["nothing is sent", refused]
  ),
  "repeats the request": row(
    ["**a new answer**", { ...fine, reads: ["answer"], tiers: ["high", "high"] }],
    ["**a new answer**", { ...fine, reads: ["answer"], tiers: ["high", "high"] }],
    ["nothing: answered once", fine],
    ["nothing: answered once", fine]
  ),
  "takes the tier away": row(
    ["**succeeds**", { ...fine, tiers: ["none"] }],
    ["**succeeds**", { ...fine, tiers: ["none"] }],
    ["has no effect", fine],
    ["has no effect", fine]
  ),
  "forges an answer": row(
    ["**you get it**", { reads: [], got: "forged", tiers: [] }],
    ["**you get it**", { reads: [], got: "forged", tiers: [] }],
    ["`SecurityError`", { reads: [], got: "SecurityError envelope", tiers: [] }],
    ["`SecurityError`", { reads: [], got: "SecurityError envelope", tiers: [] }]
  ),
  "forges an error": row(
    ["you get it", { reads: [], got: "AuthenticationError", tiers: [] }],
    ["you get it", { reads: [], got: "AuthenticationError", tiers: [] }],
    ["you get it, `authenticated: false`", unsigned],
    ["you get it, `authenticated: false`", unsigned]
  ),
  "cuts the answer short": row(
    ["`SecurityError`", { ...fine, got: "SecurityError envelope" }],
    ["`SecurityError`", { ...fine, got: "SecurityError envelope" }],
    ["`SecurityError`", { ...fine, got: "SecurityError envelope" }],
    ["`SecurityError`", { ...fine, got: "SecurityError envelope" }]
  ),
  "hides protocol 2": row(
    ["has no effect", fine],
    ["has no effect", fine],
    ["an error, nothing is sent", { reads: [], got: "SecurityError router-key", tiers: [] }],
    ["an error, nothing is sent", { reads: [], got: "SecurityError router-key", tiers: [] }]
  ),
  "steals the client's key later": row(
    ["**recorded answers**", { ...fine, reads: ["answer"] }],
    ["**recorded answers**", { ...fine, reads: ["answer"] }],
    ["nothing: there is none", fine],
    ["nothing: there is none", fine]
  ),
  "steals the router's key later": row(
    ["**recorded prompts**", { ...fine, reads: ["prompt"] }],
    ["**recorded prompts**", { ...fine, reads: ["prompt"] }],
    ["**recorded prompts and answers**", { ...fine, reads: ["prompt"] }],
    ["**recorded prompts and answers**", { ...fine, reads: ["prompt"] }]
  )
}

interface Defence {
  readonly attack: string
  readonly outcome: string
  /** The tests that try it: a file and their names in it. */
  readonly tests: readonly [file: string, ...names: ReadonlyArray<string>]
}

/** What else is tried on a client, its router and its terminal. */
export const defences: ReadonlyArray<Defence> = [
  {
    attack: "names a host of theirs in `base_url` of a request that you forward",
    outcome: "`SecurityError`, `untrusted-url`: neither your API key nor the prompt goes there",
    tests: ["test/unit/trustedOrigins.test.ts", "base_url of a request", "says both remedies"]
  },
  {
    attack: "adds an `api_key` of theirs to that `base_url`",
    outcome: "**the prompt**, but not your API key; nothing with `trustedBaseUrls: false` or a pin",
    tests: ["test/unit/trustedOrigins.test.ts", "another, with a key of its own", "any, if none is allowed"]
  },
  {
    attack: "names a host that looks like a trusted one",
    outcome: "`SecurityError`, `untrusted-url`: origins are compared as the URL standard reads them",
    tests: ["test/unit/trustedOrigins.test.ts", "https://router.test.evil.test", "https://.nomyo.ai"]
  },
  {
    attack: "puts `base_url`, `api_key` or an option on `Object.prototype`",
    outcome: "nothing: only own properties count",
    tests: ["test/unit/checkRequest.test.ts", "is nothing that a polluted prototype has"]
  },
  {
    attack: "lets the router repeat the prompt in an error",
    outcome: "the client drops all fields but `detail`, `loc`, `msg`, `type` and a known `reason`",
    tests: ["test/unit/Transport.test.ts",
      "keeps of FastAPI's validation errors what repeats nothing of the request"]
  },
  {
    attack: "lets the router repeat the API key, as it is, escaped or encoded",
    outcome: "the client shows `[API key]` in its place, or in place of the whole text",
    tests: ["test/unit/Transport.test.ts", "finds an API key that is spelled %s",
      "shows no text that holds an API key %s"]
  },
  {
    attack: "redirects the client",
    outcome: "`SecurityError`, `redirect`: nothing goes there",
    tests: ["test/contract/Transport.test.ts", "refuses a %i and does not go there"]
  },
  {
    attack: "answers your router, as its model server, with a redirect",
    outcome: "an error: the decrypted prompt goes nowhere else",
    tests: ["test/system/upstream.test.ts", "is not followed elsewhere"]
  },
  {
    attack: "asks the echo model for `n: 50_000_000`, or sends it 600 kB of blanks",
    outcome: "an error for the first, an answer at once to the second",
    tests: ["test/unit/EchoModel.test.ts",
      "refuses what would take the machine's memory, and takes blanks in no time"]
  },
  {
    attack: "intercepts TLS where `NODE_TLS_REJECT_UNAUTHORIZED=0` is set",
    outcome: "`SecurityError`, `certificate`. If you pin the router's key, the call goes on: see [an active proxy](#an-active-proxy)",
    tests: ["test/contract/Transport.test.ts", "fetches only a pinned key: %s"]
  },
  {
    attack: "makes a model answer with escape sequences for your terminal",
    outcome: "it is shown escaped",
    tests: ["test/system/cliTerminal.test.ts",
      "JSON for a terminal holds nothing that steers it, and means the same"]
  }
]
