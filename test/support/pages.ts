import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/** The project's folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

export const read = (path: string): string => Fs.readFileSync(Path.join(root, path), "utf8")

/** Files below a folder whose names end in one of these, by their paths from the project's folder. */
export const files = (folder: string, ...extensions: ReadonlyArray<string>): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => extensions.includes(Path.extname(name)))
    .map((name) => Path.posix.join(folder, ...name.split(Path.sep)))
    .toSorted()

/** Every page of the documentation. */
export const pages: ReadonlyArray<string> = ["README.md", "CHANGELOG.md", "SECURITY.md",
  ...files("doc", ".md")]

/** The code blocks of a page in a language, with the line each begins on. */
export const blocks = (page: string,
  language: string): ReadonlyArray<{ readonly line: number; readonly code: string }> => {
  const text = read(page)
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    code: match[1]!
  }))
}
