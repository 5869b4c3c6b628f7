/** The command line on a terminal of its own. */
import { spawn } from "node:child_process"
import { once } from "node:events"

const BIN = "dist/cli/nomyo.cjs"

/** A command that runs on a terminal. */
export interface RunningCommand {
  /** All that the terminal has shown so far. */
  readonly screen: () => string
  /** Waits for a text after the one that it found before, and gives what the terminal showed until then. */
  readonly see: (text: string) => Promise<string>
  /** Types on the terminal. */
  readonly type: (text: string) => void
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>
}

/** Starts `nomyo` with these words, as the shell reads them. `script` gives it a terminal. */
export const startOnTerminal = (
  words: string,
  { columns = 80, env = {} }: { readonly columns?: number; readonly env?: NodeJS.ProcessEnv } = {}
): RunningCommand => {
  const command = `stty cols ${columns}; exec ${process.execPath} ${BIN} ${words}`
  const child = spawn("script", ["-qec", command, "/dev/null"], {
    env: { ...process.env, NO_COLOR: "1", ...env }
  })
  let screen = ""
  let seen = 0
  let wake = () => {}
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    screen += chunk
    wake()
  })
  const ended = once(child, "close").then(([code]) => {
    wake()
    return code as number | null
  })
  const see = async (text: string): Promise<string> => {
    for (let at = -1; at === -1;) {
      at = screen.indexOf(text, seen)
      if (at !== -1) {
        const before = screen.slice(seen, at)
        seen = at + text.length
        return before
      }
      if (child.exitCode !== null) break
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const shown = JSON.stringify(screen.slice(seen))
    throw new Error(`The terminal never showed ${JSON.stringify(text)}, but: ${shown}`)
  }
  return { screen: () => screen, see, type: (text) => void child.stdin.write(text), ended }
}
