/** A password on standard input: all of it, or one line that a terminal does not show. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { text } from "node:stream/consumers"
import { err } from "./terminal.js"

const INTERRUPT = "\u0003"
/** Line ends: the return key, or Ctrl-D. */
const END = new Set(["\r", "\n", "\u0004"])
const BACKSPACE = new Set(["\u0008", "\u007f"])

/** Takes characters one by one: a terminal in raw mode edits nothing. */
const readHidden = Effect.async<string>((resume) => {
  const { stdin } = process
  let line = ""
  const stop = () => void stdin.off("data", onData).setRawMode(false).pause()
  const onData = (chunk: string) => {
    for (const character of chunk) {
      if (character === INTERRUPT) {
        stop()
        return process.kill(process.pid, "SIGINT")
      }
      if (END.has(character)) {
        stop()
        return resume(Effect.succeed(line))
      }
      line = BACKSPACE.has(character) ? line.slice(0, -1) : line + character
    }
  }
  stdin.setRawMode(true).setEncoding("utf8").on("data", onData).resume()
  return Effect.sync(stop)
})

const readAll = Effect.map(Effect.promise(() => text(process.stdin)), (all) => all.replace(/\r?\n$/, ""))

/** The private key's password. */
export const readPassword: Effect.Effect<Redacted.Redacted> = Effect.suspend(() =>
  process.stdin.isTTY === true
    ? Effect.zipRight(err("Password of the private key (not shown):"), readHidden)
    : readAll
).pipe(Effect.map((password) => Redacted.make(password)))
