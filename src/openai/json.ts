/**
 * JSON whose long strings are not copied. With a picture of 7 MiB, `JSON.parse` takes a fifth of the CPU time
 * of all that the client does with it.
 */

/** In UTF-16 units. Strings of twice as many are found wherever they begin. */
const WINDOW = 32 * 1024

/** Text between two quotes, longer than a window. It may be a string, or lie between two. */
interface Gap {
  readonly start: number
  readonly end: number
}

/** Looks at one quote for each window. */
const gapsOf = function*(text: string): Generator<Gap, void> {
  for (let at = 0; at + WINDOW < text.length;) {
    const end = text.indexOf("\"", at)
    if (end < 0) return
    const start = text.lastIndexOf("\"", at) + 1
    if (end - at > WINDOW && start > 0) yield { start, end }
    at = end - at > WINDOW ? end + 1 : at + WINDOW
  }
}

const encoder = /* @__PURE__ */ new TextEncoder()

/** One bit, or one character, in each of the four bytes of a word. */
const HIGHEST = 0x80808080 | 0
const SPACES = 0x20202020

/** Whether any byte is a control character. One too small for the subtraction gets its highest bit. */
const isAnyControl = (words: Int32Array, length: number): boolean => {
  for (let i = 0; i < length; i++) {
    const word = words[i]!
    if ((word - SPACES) & ~word & HIGHEST) return true
  }
  return false
}

/** Whether a text stands in JSON as it is. A regular expression takes ten times as long. */
const isPlain = (text: string): boolean => {
  if (text.includes("\\")) return false
  const bytes = new Uint8Array(2 * WINDOW)
  const words = new Int32Array(bytes.buffer)
  let at = 0
  let isControl = false
  while (at < text.length && !isControl) {
    const { read, written } = encoder.encodeInto(text.slice(at), bytes)
    bytes.fill(0x20, written)
    isControl = isAnyControl(words, Math.ceil(written / 4))
    at += read
  }
  bytes.fill(0)
  return !isControl
}

/** Every object of a tree, the root first. Not by recursion: a body may be nested as deep as it is long. */
const objectsOf = function*(root: object): Generator<object, void> {
  const left: Array<object> = [root]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    yield next
    for (const value of Object.values(next)) if (typeof value === "object" && value !== null) left.push(value)
  }
}

/** Puts the texts in the place of their marks. Returns how many marks there were. */
const restore = (root: object, texts: ReadonlyMap<unknown, string>): number => {
  let found = 0
  for (const object of objectsOf(root)) {
    for (const [key, value] of Object.entries(object)) {
      const text = texts.get(value)
      if (text === undefined) continue
      // not an assignment, which would set the prototype where the key is `__proto__`
      Object.defineProperty(object, key, { value: text })
      found++
    }
  }
  return found
}

/** Freezes an object and every object within. */
export const freezeDeeply = <A extends object>(root: A): A => {
  for (const object of objectsOf(root)) Object.freeze(object)
  return root
}

/** Throws a `SyntaxError` if the text is not JSON. */
export const parse = (text: string): unknown => {
  const long = new Map<unknown, string>()
  let short = ""
  let at = 0
  for (const { end, start } of gapsOf(text)) {
    const gap = text.slice(start, end)
    if (!isPlain(gap)) continue
    const mark = crypto.randomUUID()
    long.set(mark, gap)
    short += text.slice(at, start) + mark
    at = end
  }
  if (long.size === 0) return JSON.parse(text)
  try {
    const value: unknown = JSON.parse(short + text.slice(at))
    if (typeof value === "object" && value !== null && restore(value, long) === long.size) return value
  } catch {
    // what was taken for a string was none
  }
  return JSON.parse(text)
}
