/** JSON in pieces, so that a long text is never there twice, and nothing has to wait for all of it. */

/** A string of more characters is cut out of the JSON, and goes in pieces of as many. */
const LONG = 64 * 1024

/** The JSON of a value, its long strings aside: they stand between the parts. What the caller changes later changes nothing here. */
export interface Json {
  readonly parts: ReadonlyArray<string>
  readonly long: ReadonlyArray<string>
}

/** Throws where `JSON.stringify` or the replacer does, and where there is no JSON for the value. */
export const stringify = (value: unknown, replacer: (this: unknown, key: string, value: unknown) => unknown): Json => {
  const long: Array<string> = []
  // nobody can have written this into a string of theirs
  let mark = ""
  const skeleton: string | undefined = JSON.stringify(value, function(key, member: unknown) {
    const replaced = replacer.call(this, key, member)
    if (typeof replaced !== "string" || replaced.length <= LONG) return replaced
    long.push(replaced)
    return mark ||= crypto.randomUUID()
  })
  if (skeleton === undefined) throw new TypeError("undefined")
  return { parts: mark === "" ? [skeleton] : skeleton.split(`"${mark}"`), long }
}

const isHighSurrogate = (unit: number) => (unit & 0xfc00) === 0xd800

/** The text, piece by piece. */
export const pieces = function*({ long, parts }: Json): Generator<string, void> {
  for (const [i, part] of parts.entries()) {
    yield part
    const text = long[i]
    if (text === undefined) continue
    yield "\""
    for (let at = 0; at < text.length;) {
      const end = Math.min(at + LONG, text.length)
      // both halves of a pair, or half a character would be written twice
      const next = end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end
      yield JSON.stringify(text.slice(at, next)).slice(1, -1)
      at = next
    }
    yield "\""
  }
}
