/**
 * Answers as model servers write them, and what becomes of each. A rule is a row of the table in
 * `doc/reliability.md`.
 */

interface Shape {
  readonly server: string
  /** The plaintext: JSON, or a text that stands as it is. */
  readonly said: object | string
  /** The answer, without `_metadata`; or what it fails with. */
  readonly becomes: object
}

export interface Rule {
  readonly name: string
  readonly outcome: string
  readonly shapes: ReadonlyArray<Shape>
}

const envelope = { id: "c", object: "chat.completion", created: 1, model: "m" }
const answer = (...choices: ReadonlyArray<object>) => ({ ...envelope, choices })
const choice = (message: object, fields: object = {}) => ({ index: 0,
  message: { role: "assistant", ...message }, finish_reason: "stop", ...fields })
const hello = choice({ content: "Hello!" })

/** A choice that becomes another. */
const one = (server: string, said: object, becomes: object = said): Shape => ({ server, said: answer(said),
  becomes: answer(becomes) })

const call = (fields: object) =>
  choice({ content: null, tool_calls: [fields] }, { finish_reason: "tool_calls" })
const called = { id: "a", type: "function", function: { name: "f", arguments: "{\"x\":1}" } }
const made = "call_pay1_0_0"

const events = (...chunks: ReadonlyArray<object | string>) =>
  chunks.map((chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`).join("")
const chunk = (delta: object, fields: object = {}, top: object = {}) => ({ ...envelope,
  object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: null, ...fields }], ...top })
const end = chunk({}, { finish_reason: "stop" })

const untouched: Rule = {
  name: "OpenAI's shape, with fields beyond it",
  outcome: "stays as it is",
  shapes: [
    one("OpenAI", choice({ content: "x", refusal: null, annotations: [] }, { logprobs: null })),
    {
      server: "OpenAI, with usage",
      said: { ...answer(hello),
        usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3,
          completion_tokens_details: { reasoning_tokens: 1 } }, system_fingerprint: "fp",
        service_tier: "default" },
      becomes: { ...answer(hello),
        usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3,
          completion_tokens_details: { reasoning_tokens: 1 } }, system_fingerprint: "fp",
        service_tier: "default" }
    },
    one("OpenAI, refusing", choice({ content: null, refusal: "No." })),
    one("OpenAI, in sound",
      choice({ content: null, audio: { id: "a", data: "", expires_at: 1, transcript: "x" } })),
    one("vLLM",
      choice({ content: "x", reasoning_content: null, tool_calls: [] }, { logprobs: null, stop_reason: null,
        token_ids: null })),
    { server: "llama.cpp", said: { ...answer(hello), timings: { predicted_ms: 1.5 } },
      becomes: { ...answer(hello), timings: { predicted_ms: 1.5 } } },
    one("DeepSeek", choice({ content: "x", reasoning_content: "why" })),
    one("Azure", choice({ content: "x" }, { content_filter_results: { hate: { filtered: false } } })),
    one("OpenAI, several", call(called)),
    one("any, its reason to stop unheard of", choice({ content: "x" }, { finish_reason: "abort" })),
    { server: "any, with nothing to say", said: answer(), becomes: answer() }
  ]
}

const choices: Rule = {
  name: "a choice without `index`, or with it as text; a message without `role`",
  outcome: "its position; `assistant`",
  shapes: [
    one("HF TGI", { message: { content: "x" }, finish_reason: "stop" }, choice({ content: "x" })),
    one("one-api", choice({ content: "x" }, { index: "0" }), choice({ content: "x" })),
    one("LM Studio", choice({ content: "x", role: null }), choice({ content: "x" })),
    one("text-generation-webui", choice({ content: "x", role: "" }), choice({ content: "x" })),
    { server: "several without index",
      said: answer({ message: { content: "x" } }, { message: { content: "y" } }),
      becomes: answer({ index: 0, message: { role: "assistant", content: "x" } }, { index: 1,
        message: { role: "assistant", content: "y" } }) },
    one("Azure, filtered", { finish_reason: "content_filter" },
      choice({ content: null }, { finish_reason: "content_filter" })),
    one("Ollama, without content", choice({ tool_calls: [called] }),
      choice({ content: null, tool_calls: [called] }))
  ]
}

const legacy: Rule = {
  name:
    "a choice that is a text, or has `text`, `delta`, `content` or `generated_text`; a message that is a text",
  outcome: "a message with that content",
  shapes: [
    {
      server: "llama-cpp-python, legacy",
      said: { ...envelope, object: "text_completion",
        choices: [{ text: "x", index: 0, logprobs: null, finish_reason: "length" }] },
      becomes: answer({ text: "x", index: 0, logprobs: null, finish_reason: "length",
        message: { role: "assistant", content: "x" } })
    },
    one("FastChat", { index: 0, delta: { role: "assistant", content: "x" } }, { index: 0,
      delta: { role: "assistant", content: "x" }, message: { role: "assistant", content: "x" } }),
    one("a proxy, text beside an empty message", { index: 0, message: {}, text: "x" }, { index: 0,
      message: { role: "assistant", content: "x" }, text: "x" }),
    one("one-api, a text", { index: 0, message: "x" }, { index: 0,
      message: { role: "assistant", content: "x" } }),
    { server: "a proxy, a choice that is a text", said: { ...envelope, choices: ["x"] },
      becomes: answer({ index: 0, message: { role: "assistant", content: "x" } }) },
    one("a proxy, content on the choice", { index: 0, content: "x" }, { index: 0, content: "x",
      message: { role: "assistant", content: "x" } }),
    one("HF TGI, generated_text", { index: 0, generated_text: "x" }, { index: 0, generated_text: "x",
      message: { role: "assistant", content: "x" } }),
    one("a message in a list", { index: 0, message: [{ content: "x" }] }, { index: 0,
      message: { role: "assistant", content: "x" } })
  ]
}

const thinking = [{ type: "thinking", thinking: [{ type: "text", text: "why" }] }, { type: "text",
  text: "x" }]
const twoTexts = [{ type: "text", text: "Hel" }, { type: "text", text: "lo" }]
const withImage = [{ type: "text", text: "x" }, { type: "image_url", image_url: { url: "data:," } }]
const output = [{ type: "output_text", text: { value: "x", annotations: [] } }]
const refusal = [{ type: "refusal", refusal: "No." }]
const responses = [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "x" }] }]
const upperCase = [null, { type: "TEXT", text: "x" }]
const anthropic = [{ type: "thinking", thinking: "why", signature: "s" }, { type: "text", text: "x" }]

const parts: Rule = {
  name: "`content` as parts",
  outcome:
    "their text joined; thinking parts in `reasoning_content`; the parts in the choice's `content_parts`",
  shapes: [
    one("Mistral, thinking", choice({ content: thinking }),
      choice({ content: "x", reasoning_content: "why" }, { content_parts: thinking })),
    one("Mistral", choice({ content: twoTexts }), choice({ content: "Hello" }, { content_parts: twoTexts })),
    one("Gemini, with an image", choice({ content: withImage }),
      choice({ content: "x" }, { content_parts: withImage })),
    one("one-api, from Responses", choice({ content: output }),
      choice({ content: "x" }, { content_parts: output })),
    one("one-api, from Responses, whole", choice({ content: responses }),
      choice({ content: "x" }, { content_parts: responses })),
    one("a proxy, in capitals", choice({ content: upperCase }),
      choice({ content: "x" }, { content_parts: upperCase.slice(1) })),
    one("one-api, from Claude", choice({ content: anthropic }),
      choice({ content: "x", reasoning_content: "why" }, { content_parts: anthropic })),
    one("a refusal in parts", choice({ content: refusal }),
      choice({ content: null, refusal: "No." }, { content_parts: refusal })),
    one("parts without type", choice({ content: [{ text: "x" }, "y"] }),
      choice({ content: "xy" }, { content_parts: [{ text: "x" }, "y"] })),
    one("one part, not in a list", choice({ content: { type: "text", text: "x" } }),
      choice({ content: "x" }, { content_parts: [{ type: "text", text: "x" }] })),
    one("no parts", choice({ content: [] }), choice({ content: null }, { content_parts: [] }))
  ]
}

const parsed: Rule = {
  name: "`content` as a value that the server has parsed already",
  outcome: "its JSON text",
  shapes: [
    one("a proxy, of an object", choice({ content: { answer: 42 } }), choice({ content: "{\"answer\":42}" })),
    one("a proxy, of a list", choice({ content: [1, 2] }), choice({ content: "[1,2]" })),
    one("a proxy, of a number", choice({ content: 42 }), choice({ content: "42" }))
  ]
}

const details = [{ type: "reasoning.text", text: "why", format: null }]

const reasoning: Rule = {
  name: "reasoning under another name, or in parts",
  outcome: "in `reasoning_content` too",
  shapes: [
    one("OpenRouter", choice({ content: "x", reasoning: "why", reasoning_details: details }),
      choice({ content: "x", reasoning: "why", reasoning_details: details, reasoning_content: "why" })),
    one("Ollama", choice({ content: "x", thinking: "why" }),
      choice({ content: "x", thinking: "why", reasoning_content: "why" })),
    one("a proxy, in parts", choice({ content: "x", reasoning_content: [{ type: "text", text: "why" }] }),
      choice({ content: "x", reasoning_content: "why" }))
  ]
}

const toolUse = [{ type: "text", text: "x" }, { type: "tool_use", id: "a", name: "f", input: { x: 1 } }]
const functionCall = [{ type: "function_call", id: "fc", call_id: "a", name: "f", arguments: "{\"x\":1}" }]

const toolCalls: Rule = {
  name:
    "a tool call without `id` or `type`, with `arguments` as an object or without, with the function's fields on the call itself",
  outcome: "an id made of the payload id; `function`; JSON text, `{}` for none",
  shapes: [
    one("Ollama, arguments as an object", call({ ...called, function: { name: "f", arguments: { x: 1 } } }),
      call(called)),
    one("llama.cpp, without id", call({ type: "function", function: called.function }),
      call({ ...called, id: made })),
    one("Gemini, with an empty id", call({ ...called, id: "" }), call({ ...called, id: made })),
    one("TGI, a number as id", call({ ...called, id: 0 }), call({ ...called, id: "0" })),
    one("Mistral, without type", call({ id: "a", function: called.function }), call(called)),
    one("Groq, without arguments", call({ ...called, function: { name: "f" } }),
      call({ ...called, function: { name: "f", arguments: "{}" } })),
    one("Cohere, parameters", call({ id: "a", name: "f", parameters: { x: 1 } }),
      call({ ...called, name: "f", parameters: { x: 1 } })),
    one("a proxy, another type", call({ ...called, type: "tool" }), call(called)),
    one("Claude's input", call({ id: "a", name: "f", input: { x: 1 } }),
      call({ ...called, name: "f", input: { x: 1 } })),
    one("calls by position, beside nothing", choice({ content: null, tool_calls: { 0: null, 1: called } }),
      choice({ content: null, tool_calls: [called] })),
    one("calls as JSON text", choice({ content: null, tool_calls: JSON.stringify([called]) }),
      choice({ content: null, tool_calls: [called] })),
    one("one-api, parts of Claude", choice({ content: toolUse }),
      choice({ content: "x", tool_calls: [called] }, { content_parts: toolUse })),
    one("one-api, parts of Responses", choice({ content: functionCall }),
      choice({ content: null, tool_calls: [called] }, { content_parts: functionCall })),
    one("Hermes, flat", call({ name: "f", arguments: "{\"x\":1}" }),
      call({ ...called, id: made, name: "f", arguments: "{\"x\":1}" })),
    one("a call that is not in a list", choice({ content: null, tool_calls: called }),
      choice({ content: null, tool_calls: [called] })),
    one("FastChat, function_call",
      choice({ content: null, function_call: { name: "f", arguments: { x: 1 } } }),
      choice({ content: null, function_call: { name: "f", arguments: "{\"x\":1}" } })),
    one("arguments that are no JSON", call({ ...called, function: { name: "f", arguments: "{x" } }))
  ]
}

const custom: Rule = {
  name: "a `custom` tool call, with or without its type",
  outcome: "`custom`, its input as text",
  shapes: [
    one("OpenAI", call({ id: "a", type: "custom", custom: { name: "t", input: "x" } })),
    one("a proxy", call({ custom: { name: "t", input: { x: 1 } } }),
      call({ custom: { name: "t", input: "{\"x\":1}" }, id: made, type: "custom" }))
  ]
}

const native = (said: string, reason: string): Shape =>
  one(`the reason ${said}`, choice({ content: "x" }, { finish_reason: said }),
    choice({ content: "x" }, { finish_reason: reason, native_finish_reason: said }))

const finish: Rule = {
  name: "`finish_reason` in another server's words",
  outcome: "OpenAI's word; theirs in `native_finish_reason`",
  shapes: [native("eos_token", "stop"), native("STOP", "stop"), native("model_length", "length"),
    native("tool_use", "tool_calls"), native("SAFETY", "content_filter")]
}

const usage = (said: object, becomes: object): Shape => ({ server: "usage",
  said: { ...answer(hello), usage: said }, becomes: { ...answer(hello), usage: becomes } })

const counts: Rule = {
  name: "token counts as text, under other names, without their sum",
  outcome: "numbers under OpenAI's names",
  shapes: [
    usage({ prompt_tokens: "1", completion_tokens: "2", total_tokens: "3" }, { prompt_tokens: 1,
      completion_tokens: 2, total_tokens: 3 }),
    usage({ prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: { cached_tokens: "1" } }, {
      prompt_tokens: 1,
      completion_tokens: 2,
      total_tokens: 3,
      prompt_tokens_details: { cached_tokens: 1 }
    }),
    usage({ input_tokens: 1, output_tokens: 2 }, { input_tokens: 1, output_tokens: 2, prompt_tokens: 1,
      completion_tokens: 2, total_tokens: 3 }),
    usage({ prompt_tokens: "many" }, { prompt_tokens: "many" })
  ]
}

const bare: Rule = {
  name: "no `id`; no `object`; no `created`; no `model`; choices that are not in a list; JSON in a JSON text",
  outcome:
    "`chatcmpl-` and the payload id; `chat.completion`; the router's time; an empty text; a list; the parsed JSON",
  shapes: [
    { server: "the least", said: { choices: [{ message: { content: "x" } }] },
      becomes: { id: "chatcmpl-pay-1", object: "chat.completion", created: 7, model: "",
        choices: [{ index: 0, message: { role: "assistant", content: "x" } }] } },
    { server: "JSON of JSON text", said: JSON.stringify(JSON.stringify(answer(hello))),
      becomes: answer(hello) },
    { server: "choices by position", said: { ...envelope, choices: { 0: hello, 1: { ...hello, index: 1 } } },
      becomes: answer(hello, { ...hello, index: 1 }) },
    { server: "choices as JSON text", said: { ...envelope, choices: JSON.stringify([hello]) },
      becomes: answer(hello) },
    { server: "a date in words", said: { ...answer(hello), created: "2026-01-01T00:00:00.5Z" },
      becomes: { ...answer(hello), created: 1_767_225_600 } },
    { server: "parts of a second", said: { ...answer(hello), created: 1.5 }, becomes: answer(hello) },
    { server: "a byte order mark", said: `\uFEFF${JSON.stringify(answer(hello))}`, becomes: answer(hello) },
    { server: "an end of a stream", said: `${JSON.stringify(answer(hello))}\n\ndata: [DONE]\n\n`,
      becomes: answer(hello) },
    { server: "choices that are one", said: { ...envelope, choices: hello }, becomes: answer(hello) },
    { server: "numbers and texts", said: { id: 5, object: "", created: "9", model: null, choices: [hello] },
      becomes: { id: "5", object: "chat.completion", created: 9, model: "", choices: [hello] } }
  ]
}

const token = (logprob: number | null) => ({ token: "x", logprob, bytes: null, top_logprobs: [] })

const noNumbers: Rule = {
  name: "`NaN`, `Infinity`, `nan` or `inf`, which Python and C write and JSON has not",
  outcome: "`null`",
  shapes: [
    { server: "vLLM",
      said: JSON.stringify(answer({ ...hello, logprobs: { content: [token(-1), token(-2)] } })).replace("-1",
        "NaN").replace("-2", "-Infinity"),
      becomes: answer({ ...hello, logprobs: { content: [token(null), token(null)] } }) },
    { server: "C's printf",
      said: JSON.stringify(answer({ ...hello, logprobs: { content: [token(-1), token(-2)] } })).replace("-1",
        "-nan").replace("-2", "-inf"),
      becomes: answer({ ...hello, logprobs: { content: [token(null), token(null)] } }) },
    { server: "vLLM, in a text too",
      said: JSON.stringify({ ...answer(choice({ content: "NaN \"Infinity\\" })), score: 5 }).replace(
        "\"score\":5",
        "\"score\":NaN"
      ), becomes: { ...answer(choice({ content: "NaN \"Infinity\\" })), score: null } }
  ]
}

const hel = [chunk({ content: "Hel" }), chunk({ content: "lo!" }, { finish_reason: "stop" })] as const
const twoCalls = choice({ content: null, tool_calls: [called, { ...called, id: "b" }] }, {
  finish_reason: "tool_calls"
})

const streamed: Rule = {
  name: "an event stream, though none was asked for",
  outcome: "folded into one answer",
  shapes: [
    {
      server: "OpenAI",
      said: events(chunk({ role: "assistant", content: "" }), chunk({ content: "Hel" }),
        chunk({ content: "lo!" }), end, { ...envelope, choices: [],
          usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }, "[DONE]"),
      becomes: { ...answer(hello), usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }
    },
    { server: "vLLM, with reasoning",
      said: events(chunk({ reasoning_content: "w" }), chunk({ reasoning_content: "hy" }),
        chunk({ content: "x" }), end), becomes: answer(choice({ reasoning_content: "why", content: "x" })) },
    {
      server: "tool calls",
      said: events(
        chunk({
          tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "f", arguments: "" } }]
        }),
        chunk({ tool_calls: [{ index: 0, id: "", function: { arguments: "{\"x\"" } }] }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }),
        chunk({}, { finish_reason: "tool_calls" })
      ),
      becomes: answer(call(called))
    },
    { server: "two choices",
      said: events(chunk({ content: "a" }), chunk({ content: "b" }, { index: 1 }), chunk({ content: "a" })),
      becomes: answer(choice({ content: "aa" }, { finish_reason: null }),
        choice({ content: "b" }, { index: 1, finish_reason: null })) },
    { server: "Mistral, in parts",
      said: events(chunk({ content: [thinking[0]!] }), chunk({ content: "x" }), end),
      becomes: answer(
        choice({ content: "x", reasoning_content: "why" }, { content_parts: [thinking[0]!, "x"] })
      ) },
    { server: "OpenRouter, with comments and CRLF",
      said: `: OPENROUTER PROCESSING\r\n\r\n${
        events(chunk({ content: "Hello!" }), end).replaceAll("\n", "\r\n")
      }`, becomes: answer(hello) },
    { server: "a whole answer as one event", said: events(answer(hello), "[DONE]"), becomes: answer(hello) },
    { server: "OpenRouter, comments and no stream",
      said: `: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n${
        JSON.stringify(answer(hello), undefined, 2)
      }`, becomes: answer(hello) },
    { server: "a single line break between events", said: events(...hel).replaceAll("\n\n", "\n"),
      becomes: answer(hello) },
    { server: "line breaks of two kinds", said: events(...hel).replaceAll("\n\n", "\r\n\n"),
      becomes: answer(hello) },
    { server: "behind a byte order mark", said: `\uFEFF${events(...hel)}`, becomes: answer(hello) },
    { server: "as a JSON text", said: JSON.stringify(events(...hel)), becomes: answer(hello) },
    { server: "chunks without index", said: events(...hel.map((each) => ({ ...each,
      choices: each.choices.map(({ index: _, ...rest }) => rest) }))), becomes: answer(hello) },
    { server: "chunks with index as text", said: events(...hel.map((each) => ({ ...each,
      choices: each.choices.map((one) => ({ ...one, index: "0" })) }))), becomes: answer(hello) },
    { server: "chunks as lines of JSON", said: hel.map((each) => JSON.stringify(each)).join("\n"),
      becomes: answer(hello) },
    { server: "chunks as a list", said: hel, becomes: answer(hello) },
    { server: "pieces of calls without index", said: events(
      chunk({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{\"x\"" } }] }),
      chunk({ tool_calls: [{ function: { arguments: ":1}" } }] }),
      chunk({ tool_calls: [{ id: "b", function: { name: "f", arguments: "{\"x\":1}" } }] }),
      chunk({}, { finish_reason: "tool_calls" })
    ), becomes: answer(twoCalls) },
    { server: "Gemini, each call with index 0", said: events(
      chunk({ tool_calls: [{ ...called, index: 0 }, { ...called, id: "b", index: 0 }] }),
      chunk({}, { finish_reason: "tool_calls" })
    ), becomes: answer(twoCalls) },
    { server: "broken off by an error", said: events(chunk({ content: "Hel" }), { error: { code: 502 } }),
      becomes: { ...answer(choice({ content: "Hel" }, { finish_reason: null })), error: { code: 502 } } }
  ]
}

const errors: Rule = {
  name: "an error in place of choices, in a 200",
  outcome:
    "the error of its status, or an `APIError`; a known reason is named, the server's own words are not",
  shapes: [
    { server: "OpenRouter", said: { error: { message: "SENTINEL", code: 429 } },
      becomes: { _tag: "RateLimitError", statusCode: 429 } },
    { server: "Ollama", said: { error: "SENTINEL" }, becomes: { _tag: "APIError", statusCode: 200 } },
    { server: "vLLM", said: { object: "error", message: "SENTINEL", type: "NotFoundError", code: 404 },
      becomes: { _tag: "APIError", statusCode: 404 } },
    { server: "Gemini", said: [{ error: { code: 503, message: "SENTINEL", status: "UNAVAILABLE" } }],
      becomes: { _tag: "ServiceUnavailableError", statusCode: 503 } },
    { server: "one-api",
      said: { error: { message: "SENTINEL", type: "one_api_error", code: "model_not_found" } },
      becomes: { _tag: "APIError", statusCode: 404 } },
    { server: "OpenAI",
      said: {
        error: { message: "SENTINEL", type: "invalid_request_error", code: "context_length_exceeded" }
      }, becomes: { _tag: "InvalidRequestError", statusCode: 400 } },
    { server: "a proxy, its key refused", said: { error: { code: 401, message: "SENTINEL" }, choices: [] },
      becomes: { _tag: "APIError", statusCode: 502 } },
    { server: "OpenRouter, in a choice",
      said: answer({ index: 0, error: { code: 429, message: "SENTINEL" } }),
      becomes: { _tag: "RateLimitError", statusCode: 429 } },
    { server: "in a stream", said: events({ error: { message: "SENTINEL", code: 500 } }),
      becomes: { _tag: "ServerError", statusCode: 500 } }
  ]
}

const missing = (server: string, said: object | string, field: string): Shape => ({ server, said,
  becomes: { _tag: "APIError", statusCode: 200,
    message:
      `The router's answer is not a chat completion: ${field} is missing. Report the payloadId to its operator` } })

const nothing: Rule = {
  name: "no choices at all",
  outcome: "an `APIError` that names the field",
  shapes: [
    missing("Ollama's own API", { model: "m", message: { role: "assistant", content: "SENTINEL" },
      done: true }, "choices"),
    missing("an empty object", {}, "choices"),
    missing("choices that are none", { choices: [{}] }, "choices[0].message"),
    missing("HTML", "<html>SENTINEL</html>", "JSON object"),
    missing("a stream of nothing", "data: [DONE]\n\n", "JSON object")
  ]
}

export const rules: ReadonlyArray<Rule> = [
  untouched,
  choices,
  legacy,
  parts,
  parsed,
  reasoning,
  toolCalls,
  custom,
  finish,
  counts,
  bare,
  noNumbers,
  streamed,
  errors,
  nothing
]
