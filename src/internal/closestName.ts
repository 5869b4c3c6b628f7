/**
 * Finds the name that somebody probably meant: `baseURL`, `base_url` and `timout` are close to names that
 * exist.
 */

const plain = (name: string): string => name.replaceAll(/[^a-zA-Z0-9]/g, "").toLowerCase()

/** Levenshtein's distance: how many letters to insert, remove or replace. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** Longer names are no slip of the finger, and would take long to compare. */
const LONGEST_NAME = 40
const MOST_SLIPS = 2
/** A name within another says something from this length on: `retries` in `maxRetries`. */
const SHORTEST_PART = 5

/** The name that differs from this one by a slip of the finger, if there is one. */
export const misspelled = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const meant = plain(name)
  if (meant === "" || name.length > LONGEST_NAME) return undefined
  let closest: string | undefined
  let fewest = Math.min(MOST_SLIPS, meant.length - 1) + 1
  for (const known of names) {
    const target = plain(known)
    // to add or remove that many letters would be too many slips already
    if (Math.abs(target.length - meant.length) >= fewest) continue
    const slips = distance(meant, target)
    if (slips < fewest) [closest, fewest] = [known, slips]
  }
  return closest
}

/** The name that contains this one, or is contained in it, if there is one. */
export const related = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const meant = plain(name)
  if (meant.length < SHORTEST_PART || name.length > LONGEST_NAME) return undefined
  return names.find((known) => plain(known).includes(meant) || meant.includes(plain(known)))
}
