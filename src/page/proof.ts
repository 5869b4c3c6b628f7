/**
 * The page's proof: text beside the bytes that the network saw, the keys, the time and the
 * bytes.
 */
import type { Keys, OwnKey, RouterKey } from "./backend.js"
import { byId } from "./dom.js"
import { bytesOf, type Exchange, textOf } from "./exchange.js"

const VIEWS = ["sent-plain", "sent-sealed", "got-plain", "got-sealed"] as const
type View = typeof VIEWS[number]

const set = (view: View, text: string, size: string): void => {
  byId(view).textContent = text
  byId(`${view}-size`).textContent = size
}

/** Empties the views. */
export const clear = (): void => {
  for (const view of VIEWS) set(view, "Nothing yet.", "")
  byId("measures").textContent = "None yet."
}

const lengthOf = (text: string): number => new TextEncoder().encode(text).length

/** Shows a request as it was typed. */
export const showTyped = (request: object): void => {
  const text = JSON.stringify(request, null, 2)
  clear()
  set("sent-plain", text, bytesOf(lengthOf(JSON.stringify(request))))
  // what is new is at the end
  byId("sent-plain").scrollTop = byId("sent-plain").scrollHeight
}

/** Shows an answer as it is read. */
export const showRead = (text: string): void => set("got-plain", text, bytesOf(lengthOf(text)))

/** Shows what passed over the network. */
export const showExchange = ({ request, response }: Exchange): void => {
  set("sent-sealed", textOf(request), bytesOf(request.bytes))
  if (response !== undefined) set("got-sealed", textOf(response), bytesOf(response.bytes))
}

/** Shows the tier, the time and the bytes of an answer. */
export const showMeasures = (tier: string, seconds: number, exchange: Exchange | undefined): void => {
  const sent = exchange === undefined ? [] : [`${bytesOf(exchange.request.bytes)} sent`]
  const received = exchange?.response === undefined ? [] : [`${bytesOf(exchange.response.bytes)} received`]
  const facts = [`tier ${tier || "default"}`, `${seconds.toFixed(1)} s`, ...sent, ...received]
  byId("measures").textContent = facts.join(" · ")
}

/** In groups of four, which people compare. */
const grouped = (fingerprint: string): string => fingerprint.match(/.{1,4}/g)?.join(" ") ?? ""

const MINUTE = 60_000
const UNITS = [[24 * 60, "day"], [60, "hour"], [1, "minute"]] as const

const ageOf = (createdAt: number, now: number): string => {
  const minutes = Math.floor((now - createdAt) / MINUTE)
  const [size, unit] = UNITS.find(([size]) => minutes >= size) ?? [1, ""]
  if (unit === "") return "less than a minute old"
  const count = Math.floor(minutes / size)
  return `${count} ${unit}${count === 1 ? "" : "s"} old`
}

const showOwnAge = ({ createdAt, place }: OwnKey): void => {
  byId("own-key-age").textContent = `${ageOf(createdAt, Date.now())}, ${place}`
}

let ticking = 0

const showOwn = (key: OwnKey): void => {
  byId("own-key").textContent = `RSA ${key.bits} · ${grouped(key.fingerprint.slice(0, 12))} …`
  byId("own-key").title = key.fingerprint
  showOwnAge(key)
  clearInterval(ticking)
  ticking = window.setInterval(() => showOwnAge(key), MINUTE)
}

/** Shows the router's key, and whether another one would be accepted. */
export const showRouterKey = ({ fingerprint, isPinned }: RouterKey, advice: string): void => {
  byId("router-key").textContent = grouped(fingerprint)
  byId("pin-state").textContent = isPinned ? "pinned" : "not pinned"
  byId("pin-state").classList.toggle("good", isPinned)
  byId("pin-advice").textContent = isPinned ? "No other key is accepted." : advice
}

/** Protocol 2 has no key of the client that lasts. */
const showOneTimeKeys = (): void => {
  byId("own-key").textContent = "X25519"
  byId("own-key-age").textContent = "a new one for each request"
}

/** Shows the keys that are known. */
export const showKeys = ({ own, router }: Keys, advice: string): void => {
  if (own === undefined) showOneTimeKeys()
  else showOwn(own)
  if (router !== undefined) showRouterKey(router, advice)
}
