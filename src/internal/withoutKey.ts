/** Takes an API key out of what a server says, however it is spelled there. */

/** Shorter API keys, in characters, are words that may occur in any text. */
const SHORTEST_KEY = 8

/** A character as JSON, a URL, HTML or a shell spells it. */
const SPELLED =
  /\\u00([0-9a-f]{2})|%([0-9a-f]{2})|&#x0*([0-9a-f]{2});|&#0*(\d{2,3});|&(amp|lt|gt|quot|apos);|\\([^u])/gi

const NAMED = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", "\""], ["apos", "'"]])

const decodeOnce = (text: string): string =>
  text.replaceAll(SPELLED, (_, ...groups: ReadonlyArray<string | undefined>) => {
    const [json, url, hexadecimal, decimal, name, escaped] = groups
    const hex = json ?? url ?? hexadecimal
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
    if (decimal !== undefined) return String.fromCharCode(Number(decimal))
    return name === undefined ? escaped! : NAMED.get(name.toLowerCase())!
  })

/** The part of a key's base64 that is the same whatever stands before and after the key. */
const base64Of = (key: string): ReadonlyArray<string> =>
  [0, 1, 2].map((before) =>
    btoa("x".repeat(before) + key).slice(Math.ceil(before * 4 / 3), Math.floor((before + key.length) * 4 / 3))
  )

/**
 * Replaces the key in a text. A text that holds it in a spelling of its own is replaced whole. The key is
 * ASCII.
 */
export const withoutKey = (key: string): (text: string) => string => {
  if (key.length < SHORTEST_KEY) return (text) => text
  const base64 = base64Of(key)
  return (text) => {
    const replaced = text.replaceAll(key, "[API key]")
    // a text in a text in a text is spelled three times
    const twice = decodeOnce(decodeOnce(replaced))
    const isSpelled = [twice, decodeOnce(twice)].some((decoded) =>
      decoded.toLowerCase().includes(key.toLowerCase()))
    return isSpelled || base64.some((spelled) => replaced.includes(spelled)) ? "[API key]" : replaced
  }
}
