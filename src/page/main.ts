/**
 * The page at `/` of `nomyo router` and `nomyo proxy`: a chat, with what was typed beside what the network
 * saw.
 */
import { add, type Answer, empty, messageOf, type ToolCall } from "./answer.js"
import { type Backend, listModels, type Request, type RouterKey } from "./backend.js"
import { byId, element } from "./dom.js"
import type { Exchange } from "./exchange.js"
import * as Messages from "./messages.js"
import { savedPin, savePin } from "./pin.js"
import * as Proof from "./proof.js"
import { proxyBackend, type ProxyPage } from "./proxyBackend.js"
import { makeRouterBackend, type RouterBackend, type RouterPage } from "./routerBackend.js"

const model = byId<HTMLInputElement>("model")
const tier = byId<HTMLSelectElement>("tier")
const apiKey = byId<HTMLInputElement>("api-key")
const tools = byId<HTMLInputElement>("tools")
const keepKey = byId<HTMLInputElement>("keep-key")
const composer = byId<HTMLTextAreaElement>("composer")
const send = byId<HTMLButtonElement>("send")
const cancel = byId<HTMLButtonElement>("cancel")
const pin = byId<HTMLButtonElement>("pin")
const status = byId("status")
const prompt = byId("prompt")

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city, now",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] }
  }
}

/** The page's texts about its server. */
interface Words {
  readonly hint: string
  /** Advice for a key that is not pinned. */
  readonly pinAdvice: string
}

/** A server, the side of it that encrypts, and what changes with it. */
interface Side {
  readonly backend: Backend
  readonly words: Words
}

const state = {
  history: [] as ReadonlyArray<object>,
  /** The tool calls that wait for their results. */
  calls: [] as ReadonlyArray<ToolCall>,
  /** Cancels the request in flight. */
  request: undefined as AbortController | undefined,
  /** Counts the times that keys were asked for: an older answer is not shown. */
  connection: 0
}

const setBusy = (isOut: boolean): void => {
  send.disabled = isOut
  // another key means another client, and this one is needed for the answer
  keepKey.disabled = pin.disabled = isOut
  cancel.hidden = !isOut
  Messages.setWaiting(isOut)
}

const expectResults = (calls: ReadonlyArray<ToolCall>): void => {
  state.calls = calls
  const [call] = calls
  prompt.textContent = call === undefined ? "Your message" : `Result of ${call.function.name}`
}

/** Makes keys ready before anybody waits for them. */
const connect = async ({ backend, words }: Side): Promise<void> => {
  const connection = ++state.connection
  status.textContent = "Preparing the keys…"
  send.disabled = true
  try {
    const keys = await backend.connect(apiKey.value)
    if (connection !== state.connection) return
    Proof.showKeys(keys, words.pinAdvice)
    status.textContent = "Ready: what you send is encrypted."
    composer.disabled = send.disabled = false
    composer.focus()
  } catch (error) {
    if (connection !== state.connection) return
    status.textContent = "Not ready."
    Messages.showError(error)
  }
}

const showModels = async (): Promise<void> => {
  const ids = await listModels(apiKey.value)
  byId("models").replaceChildren(...ids.map((value) => element("option", { value })))
  if (model.value === "") model.value = ids[0] ?? ""
}

const bodyOf = (message: object): Request => ({
  model: model.value,
  ...(tools.checked ? { tools: [weather] } : {}),
  messages: [...state.history, message]
})

/** The visible text of the answer. */
const readable = ({ calls, content, reasoning, refusal }: Answer): string =>
  JSON.stringify({
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    content,
    ...(refusal === "" ? {} : { refusal }),
    ...(calls.length === 0 ? {} : { tool_calls: calls })
  }, null, 2)

/** One request, and its answer on the page as it grows. */
const exchangeWith = async (
  { backend }: Side,
  request: Request,
  controller: AbortController
): Promise<Answer> => {
  const started = performance.now()
  const shown = Messages.showAnswer()
  const isCurrent = () => state.request === controller
  let exchange: Exchange | undefined
  let answer = empty
  const onExchange = (next: Exchange) => {
    exchange = next
    if (isCurrent()) Proof.showExchange(next)
  }
  const options = { tier: tier.value, apiKey: apiKey.value, signal: controller.signal, onExchange }
  try {
    for await (const chunk of backend.ask(request, options)) {
      answer = add(answer, chunk)
      if (isCurrent()) shown.update(answer)
    }
  } catch (error) {
    // a part of an answer stays, with the error below it
    if (answer === empty) shown.remove()
    else shown.finish(answer)
    throw error
  } finally {
    if (isCurrent()) Proof.showMeasures(tier.value, (performance.now() - started) / 1000, exchange)
  }
  shown.finish(answer)
  if (isCurrent()) Proof.showRead(readable(answer))
  return answer
}

/** Puts back what was not answered, before what was typed since. */
const restore = (content: string): void => {
  composer.value = [content, composer.value].filter((part) => part !== "").join("\n")
}

const say = async (side: Side, content: string): Promise<void> => {
  const [call, ...others] = state.calls
  const message = call === undefined
    ? { role: "user", content }
    : { role: "tool", tool_call_id: call.id, content }
  const shown = call === undefined
    ? Messages.showOwn("user", "You", content)
    : Messages.showOwn("tool", `Result of ${call.function.name}`, content)
  composer.value = ""
  // a model goes on when it has every result it asked for
  if (others.length > 0) {
    state.history = [...state.history, message]
    return expectResults(others)
  }
  const request = bodyOf(message)
  const controller = state.request = new AbortController()
  Proof.showTyped(request)
  setBusy(true)
  try {
    const answer = await exchangeWith(side, request, controller)
    // the user began a new chat in between
    if (!shown.isConnected) return
    state.history = [...request.messages, messageOf(answer)]
    expectResults(answer.calls)
  } catch (error) {
    if (!shown.isConnected) return
    shown.remove()
    restore(content)
    if (controller.signal.aborted) return Messages.showCancelled()
    Messages.showError(error)
    Proof.showRead(String(error))
  } finally {
    if (state.request === controller) setBusy(false)
    composer.focus()
  }
}

const startAgain = ({ words }: Side): void => {
  state.request?.abort()
  state.request = undefined
  state.history = []
  expectResults([])
  Messages.clear(words.hint)
  Proof.clear()
  setBusy(false)
  composer.focus()
}

/** Parts of every page. */
const listen = (side: Side): void => {
  const form = byId<HTMLFormElement>("form")
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    const content = composer.value.trim()
    if (content !== "" && !send.disabled) void say(side, content)
  })
  composer.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })
  cancel.addEventListener("click", () => state.request?.abort())
  byId("new-chat").addEventListener("click", () => startAgain(side))
  apiKey.addEventListener("change", () => void showModels())
}

/** Parts of a router's page: it creates the client's key, and can pin the router's. */
const listenToKeys = (
  side: Side,
  backend: RouterBackend,
  { protocol }: RouterPage,
  routerKey: () => RouterKey | undefined
): void => {
  keepKey.addEventListener("change", async () => {
    keepKey.disabled = true
    await backend.keepKey(keepKey.checked).catch(Messages.showError)
    await connect(side)
    keepKey.disabled = false
  })
  pin.addEventListener("click", async () => {
    savePin(protocol, savedPin(protocol) === undefined ? routerKey()?.fingerprint : undefined)
    pin.disabled = true
    await connect(side)
    pin.disabled = false
  })
}

const showPinButton = ({ protocol }: RouterPage): void => {
  pin.hidden = false
  pin.textContent = savedPin(protocol) === undefined ? "Pin this key" : "Remove the pin"
}

/** What to do with a key that is not pinned. A router replaces those of protocol 2 by itself. */
const ADVICE = {
  1: "Compare it with the fingerprint that the router printed for protocol 1.0, then pin it.",
  2: "Compare it with the fingerprint that the router printed for protocol 2, then pin it. " +
    "When the router changes its key, pin the next one."
} as const

const routerSide = (page: RouterPage): Side => {
  let current: RouterKey | undefined
  const words: Words = {
    hint: "This page encrypts your messages to the router's key, and the router reads them. A proxy that " +
      "terminates TLS can swap that key and read them too, unless you compare the key and pin it.",
    pinAdvice: ADVICE[page.protocol]
  }
  const backend = makeRouterBackend(page, (key) => {
    current = key
    Proof.showRouterKey(key, words.pinAdvice)
    showPinButton(page)
  })
  const side = { backend, words }
  // protocol 2 has no key that could be kept
  byId("keep-key-label").hidden = page.protocol === 2
  listenToKeys(side, backend, page, () => current)
  return side
}

const proxySide = ({ needsToken, pinVariable, router }: ProxyPage): Side => {
  byId("keep-key-label").hidden = true
  byId("api-key-label").textContent = needsToken ? "Proxy token" : "API key"
  byId("own-key-title").textContent = "The proxy's key"
  byId("near").textContent = "in this page, and on this machine up to the proxy"
  byId("far").textContent = `between the proxy and ${router}`
  const words: Words = {
    hint: "This page sends your messages to the proxy, unencrypted. With a proxy on your own machine they " +
      "stay on loopback. The proxy encrypts them to the router's key, and only the router reads them.",
    pinAdvice: `Set ${pinVariable} to this fingerprint to accept no other key.`
  }
  return { backend: proxyBackend, words }
}

const start = async (): Promise<void> => {
  const page: RouterPage | ProxyPage = await (await fetch("/page.json")).json()
  const side = page.server === "router" ? routerSide(page) : proxySide(page)
  Messages.clear(side.words.hint)
  listen(side)
  // a proxy shows its keys to nobody without the token
  if (page.server === "proxy") apiKey.addEventListener("change", () => void connect(side))
  await Promise.all([showModels(), connect(side)])
}

start().catch(Messages.showError)
