/**
 * API keys from files and from the environment. The command line is no place for them: `ps` shows it to
 * everybody.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs/promises"
import type { Token } from "../internal/httpGuard.js"
import { InvalidRequestError } from "../NomyoError.js"

/** A file of more bytes holds no keys. */
const LARGEST_FILE = 1024 * 1024

const invalid = (message: string) => new InvalidRequestError({ message })
const refuse = (message: string) => Effect.fail(invalid(message))

/** The name of a file that stands for standard input. */
const STDIN = "-"

/** The name of a secret in messages. */
type Kind = "API key" | "token"

/** At the start of a sentence. */
const plural = (kind: Kind): string => `${kind === "token" ? "Token" : kind}s`

const readStdin = (kind: Kind) => Effect.tryPromise({
  try: async () => {
    let text = ""
    for await (const chunk of process.stdin.setEncoding("utf8")) {
      text += String(chunk)
      if (text.length > LARGEST_FILE) throw new Error("too long")
    }
    return text
  },
  catch: () =>
    invalid(`${plural(kind)} could not be read from standard input. Write at most ${LARGEST_FILE} bytes`)
})

/** The text of a small regular file. A pipe or a device could be read without end. */
export const readSmallFile = (path: string, what: string): Effect.Effect<string, InvalidRequestError> =>
  Effect.tryPromise({
    try: async () => {
      const stat = await Fs.stat(path)
      if (!stat.isFile() || stat.size > LARGEST_FILE) throw new Error("not a small file")
      return await Fs.readFile(path, "utf8")
    },
    catch: (error) => {
      const code = (error as NodeJS.ErrnoException).code ?? `no regular file of at most ${LARGEST_FILE} bytes`
      return invalid(`${what} cannot be read from ${path} (${code}). Check the path and its permissions`)
    }
  })

/** Warns of a file that other users of the machine can read. Windows has no such modes. */
const warnIfReadable = (path: string) =>
  Effect.flatMap(Effect.promise(() => Fs.stat(path)), ({ mode }) =>
    process.platform !== "win32" && (mode & 0o007) !== 0
      ? Effect.logWarning(`Every user of this machine can read the keys in ${path}; run: chmod 600 ${path}`)
      : Effect.void)

const VISIBLE = /^[\u0021-\u007e]+$/

/** `label key`, or a key alone, whose label is its line. */
const tokenOf = (line: string, number: number): Token | undefined => {
  const [first = "", second, ...rest] = line.split(/\s+/)
  const [label, token] = second === undefined ? [`line-${number}`, first] : [first.replace(/:$/, ""), second]
  return rest.length === 0 && VISIBLE.test(token) ? { label, token: Redacted.make(token) } : undefined
}

/**
 * The keys of a file, or of standard input for `-`, one on each line with the label before it. Empty lines
 * and lines that begin with # are left out.
 */
const tokensOf = Effect.fnUntraced(function*(path: string, kind: Kind) {
  const name = path === STDIN ? "standard input" : path
  const text = yield* path === STDIN ? readStdin(kind) : readSmallFile(path, plural(kind))
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const tokens: Array<Token> = []
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue
    const token = tokenOf(line, index + 1)
    if (token === undefined) {
      const word = kind === "token" ? kind : "key"
      return yield* refuse(
        `Line ${index + 1} of ${name} is neither "${word}" nor "label ${word}". Correct the line`
      )
    }
    tokens.push(token)
  }
  if (tokens.length === 0) return yield* refuse(`There is no ${kind} in ${name}. Write one on each line`)
  if (path !== STDIN) yield* warnIfReadable(path)
  return tokens
})

/** The keys of a file, or else the one of an environment variable. Blank is unset. */
export const secrets = (
  file: Option.Option<string>,
  variable: string,
  kind: Kind = "API key"
): Effect.Effect<ReadonlyArray<Token>, InvalidRequestError> =>
  Option.match(file, {
    onSome: (path) => tokensOf(path, kind),
    onNone: () =>
      Effect.flatMap(Effect.orDie(Config.withDefault(Config.string(variable), "")), (value) => {
        const token = value.trim()
        if (token === "") return Effect.succeed([])
        return VISIBLE.test(token)
          ? Effect.succeed([{ label: "default", token: Redacted.make(token) }])
          : refuse(`${variable} holds a blank or a character outside ASCII. Set it again`)
      })
  })

/** The only key of a file, or else the one of an environment variable. */
export const secret = (
  file: Option.Option<string>,
  variable: string
): Effect.Effect<Token | undefined, InvalidRequestError> =>
  Effect.flatMap(secrets(file, variable), (keys) =>
    keys.length > 1
      ? refuse(`${Option.getOrElse(file, () => variable)} holds ${keys.length} API keys. Leave only one`)
      : Effect.succeed(keys[0]))

/** Fails if two options read standard input: the second would find nothing there. */
export const checkStdin = (
  files: { readonly [option: string]: Option.Option<string> }
): Effect.Effect<void, InvalidRequestError> => {
  const names = Object.keys(files).filter((name) => Option.contains(files[name]!, STDIN))
  return names.length > 1
    ? refuse(`${names.join(" and ")} both read standard input. Put one of them in a file`)
    : Effect.void
}
