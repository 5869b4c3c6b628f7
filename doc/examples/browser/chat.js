import { SecureChatCompletion } from "./nomyo.js"

const byId = (id) => document.getElementById(id)
const [model, tier, apiKey, tools, keepKey, messages, composer, prompt, form, send, cancel, status, plain, sealed, size] = [
  "model", "tier", "api-key", "tools", "keep-key", "messages", "composer", "prompt", "form", "send", "cancel", "status", "plain", "sealed", "size"
].map(byId)
const hint = messages.firstElementChild

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city, now",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] }
  }
}

let client
let history = []
/** The tool calls that wait for their results. */
let calls = []
/** Cancels the request that is out. */
let request

const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

const show = (kind, title, ...children) => {
  hint.remove()
  const article = element("article", { className: `message ${kind}` }, element("h3", { textContent: title }), ...children)
  if (kind === "error") article.setAttribute("role", "alert")
  messages.append(article)
  article.scrollIntoView({ block: "nearest" })
  return article
}

const text = (content) => element("p", { textContent: content })

const pretty = (json) => {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    // a model writes this text: it may be anything
    return json
  }
}

const showAnswer = ({ content, reasoning_content, tool_calls }) =>
  show(
    "assistant",
    "Answer",
    ...(reasoning_content ? [element("details", { className: "thinking" }, element("summary", { textContent: "Thinking" }), text(reasoning_content))] : []),
    ...(content ? [text(content)] : []),
    ...(tool_calls ?? []).map(({ function: { arguments: json, name } }) =>
      element("pre", { textContent: `calls ${name}\n${pretty(json)}` }))
  )

const showError = (error) => {
  const facts = ["reason", "statusCode", "attempts", "retryAfter"].filter((name) => error[name] !== undefined)
  const told = facts.map((name) => `${name}: ${error[name]}`).join(", ")
  show("error", error.name, text(error.message), ...(told === "" ? [] : [text(told)]))
}

const shorten = (value, length) => value.length > length ? `${value.slice(0, length)}…` : value

/** What leaves is what `fetch` is given: seen here, whatever the library says. */
const fetch = globalThis.fetch
globalThis.fetch = (url, init) => {
  if (init?.body instanceof Uint8Array) {
    const headers = Object.entries(init.headers).map(([name, value]) =>
      `${name}: ${name.toLowerCase() === "authorization" ? "Bearer ••••" : shorten(value, 120)}`)
    sealed.textContent = `POST ${url}\n${headers.join("\n")}\n\n${shorten(new TextDecoder().decode(init.body), 1200)}`
    size.textContent = `(${init.body.length.toLocaleString()} bytes)`
  }
  return fetch(url, init)
}

const setBusy = (isOut) => {
  send.disabled = isOut
  // another key means another client, and this one is needed for the answer
  keepKey.disabled = isOut
  cancel.hidden = !isOut
  messages.setAttribute("aria-busy", String(isOut))
}

const expectResults = (toolCalls) => {
  calls = toolCalls
  prompt.textContent = calls.length === 0 ? "Your message" : `Result of ${calls[0].function.name}`
}

/** Makes the client, and its key, before anybody waits for it. */
const connect = async () => {
  client?.dispose()
  const own = client = new SecureChatCompletion({
    baseUrl: location.origin,
    allowHttp: location.protocol === "http:",
    keyPersistence: keepKey.checked ? "indexeddb" : "memory"
  })
  status.textContent = "Making your key…"
  send.disabled = true
  try {
    const { fingerprint, modulusLength } = await own.ready()
    // another client has taken this one's place
    if (own !== client) return
    status.textContent = `Your key: RSA ${modulusLength}, ${fingerprint.match(/.{4}/g).slice(0, 4).join(" ")} …`
    composer.disabled = send.disabled = false
    composer.focus()
  } catch (error) {
    if (own !== client) return
    status.textContent = "There is no key."
    showError(error)
  }
}

const say = async (content) => {
  const [call, ...others] = calls
  const message = call === undefined ? { role: "user", content } : { role: "tool", tool_call_id: call.id, content }
  const shown = show(message.role, call === undefined ? "You" : prompt.textContent, text(content))
  composer.value = ""
  // a model goes on when it has every result it asked for
  if (others.length > 0) {
    history = [...history, message]
    return expectResults(others)
  }
  const body = {
    model: model.value,
    ...(tools.checked ? { tools: [weather] } : {}),
    messages: [...history, message]
  }
  plain.textContent = JSON.stringify(body, null, 2)
  // what is new is at the end
  plain.scrollTop = plain.scrollHeight
  request = new AbortController()
  setBusy(true)
  try {
    const answer = await client.create(
      {
        ...body,
        // these two travel as headers
        ...(tier.value === "" ? {} : { security_tier: tier.value }),
        ...(apiKey.value === "" ? {} : { api_key: apiKey.value })
      },
      { signal: request.signal }
    )
    // a new chat has been begun meanwhile
    if (!shown.isConnected) return
    const said = answer.choices[0].message
    history = [...body.messages, said]
    showAnswer(said)
    expectResults(said.tool_calls ?? [])
  } catch (error) {
    if (!shown.isConnected) return
    // nothing is lost: what was not answered is there to be sent again, before what was typed since
    shown.remove()
    composer.value = [content, composer.value].filter((part) => part !== "").join("\n")
    if (request.signal.aborted) show("assistant", "Cancelled")
    else showError(error)
  } finally {
    setBusy(false)
    composer.focus()
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault()
  const content = composer.value.trim()
  if (content !== "" && !send.disabled) void say(content)
})

composer.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  form.requestSubmit()
})

cancel.addEventListener("click", () => request.abort())
keepKey.addEventListener("change", async () => {
  keepKey.disabled = true
  // no longer kept is gone
  if (!keepKey.checked) await client.forgetKeys().catch(showError)
  await connect()
  keepKey.disabled = false
})

byId("new-chat").addEventListener("click", () => {
  request?.abort()
  history = []
  expectResults([])
  messages.replaceChildren(hint)
  plain.textContent = sealed.textContent = "Nothing yet."
  size.textContent = ""
  composer.focus()
})

void connect()
