import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"

/**
 * Whether inputs are tried in full, and the results written down: `npm run test:faults`. `npm test` takes
 * fewer inputs, and writes nothing.
 */
export const isFull = process.env["NOMYO_FAULTS"] === "full"

const page = fileURLToPath(new URL("../../doc/reliability.md", import.meta.url))

/** Prints a section of `doc/reliability.md` and puts it between its markers there, if everything was run. */
export const write = (section: string, markdown: string): void => {
  if (!isFull) return
  console.log(markdown)
  const text = Fs.readFileSync(page, "utf8")
  const [begin, end] = [`<!-- begin ${section} -->`, `<!-- end ${section} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no place for ${section}`)
  Fs.writeFileSync(page, `${text.slice(0, from + begin.length)}\n${markdown}\n${text.slice(to)}`)
}
