import * as Effect from "effect/Effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plainJson } from "../../src/cli/terminal.js"
import * as Model from "../../src/router/Model.js"
import * as Servers from "../support/servers.js"

const BIN = "dist/cli/nomyo.cjs"
const seen: Array<Model.Opened> = []
let url: string
let close: () => Promise<void>

beforeAll(async () => {
  const echo = Effect.runSync(Model.makeEcho)
  const model = (request: Model.Opened) =>
    Effect.zipRight(Effect.sync(() => seen.push(request)), echo(request))
  const router = await Servers.scoped(Servers.router({ model }))
  url = router.value
  close = router.close
})
afterAll(() => close())

const state = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
const keyDir = Path.join(state, "nomyo/keys")

const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  XDG_STATE_HOME: state,
  NOMYO_BASE_URL: url,
  NOMYO_ALLOW_HTTP: "true",
  NOMYO_KEY_SIZE: "2048",
  NOMYO_KEY_DIR: "",
  ...more
})

/** Runs a line of the shell with `nomyo` in it. */
const shell = (line: string, more?: NodeJS.ProcessEnv) => {
  const script = line.replaceAll(/\bnomyo (?=chat|keys)/g, `${process.execPath} ${BIN} `)
  return promisify(execFile)("bash", ["-c", `set -o pipefail; ${script}`], { env: env(more) })
}

const lastPrompt = () => seen.at(-1)?.payload["messages"]

describe("nomyo chat in a shell", () => {
  it.each([
    ["a pipe", "printf 'the report\\n' | nomyo chat 'Summarise this'"],
    ["a file", "nomyo chat 'Summarise this' <<< 'the report'"]
  ])("sends an argument together with %s", async (_, line) => {
    await shell(line)
    expect(lastPrompt()).toEqual([{ role: "user", content: "Summarise this\n\nthe report\n" }])
  })

  it("sends an argument together with a socket of another program, and alone if nothing comes", async () => {
    const chat = (write: (child: ChildProcess) => void) => {
      const child = spawn(process.execPath, [BIN, "chat", "Summarise this"], { env: env() })
      write(child)
      return once(child, "close")
    }
    await chat(({ stdin }) => stdin!.end("the report"))
    expect(lastPrompt()).toEqual([{ role: "user", content: "Summarise this\n\nthe report" }])
    expect(await chat(() => undefined)).toEqual([0, null])
    expect(lastPrompt()).toEqual([{ role: "user", content: "Summarise this" }])
  })

  it("sends an argument alone where standard input is empty", async () => {
    await shell("nomyo chat 'Summarise this' < /dev/null")
    expect(lastPrompt()).toEqual([{ role: "user", content: "Summarise this" }])
    await shell("printf '' | nomyo chat 'Summarise this'")
    expect(lastPrompt()).toEqual([{ role: "user", content: "Summarise this" }])
  })

  it("uses the pair that nomyo keys has made, and keeps one otherwise", async () => {
    Fs.rmSync(keyDir, { recursive: true, force: true })
    const { stdout } = await shell("nomyo keys generate")
    expect(stdout).toContain("private_key.pem")
    const made = Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")
    await shell("nomyo chat hi < /dev/null")
    expect(Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")).toBe(made)
    expect((await shell("nomyo keys show")).stdout).toContain("private_key.pem")
  })

  it("keeps its pair in memory where NOMYO_KEY_DIR says so", async () => {
    Fs.rmSync(keyDir, { recursive: true, force: true })
    for (const value of ["memory", "false"])
      await shell("nomyo chat hi < /dev/null", { NOMYO_KEY_DIR: value })
    expect([Fs.existsSync(keyDir), Fs.existsSync("memory"), Fs.existsSync("false")]).toEqual([false, false,
      false])
  })

  it.each([
    ["nomyo chat hi --base-url example", "Invalid --base-url"],
    ["nomyo chat hi --base-url https://user:pass@router.test", "--base-url holds a user name"],
    ["NOMYO_ALLOW_HTTP= nomyo chat hi --base-url http://router.test", "--allow-http"]
  ])("calls it wrong usage, by the flag's name: %s", async (line, said) => {
    await expect(shell(`${line} < /dev/null`)).rejects.toMatchObject({ code: 2,
      stderr: expect.stringContaining(said) })
  })
})

it("JSON for a terminal holds nothing that steers it, and means the same", () => {
  const value = { text: "\u001b[2J \u009b2J \u202egnp.exe \u2066x\u2069 tab\t line\n ü" }
  const json = plainJson(value)
  // oxlint-disable-next-line no-control-regex
  expect(json).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
  expect(JSON.parse(json)).toEqual(value)
})

describe("nomyo on a terminal", () => {
  /** Types a line once the terminal shows `prompt`. */
  const type = async (command: string, prompt: string, line: string, more?: NodeJS.ProcessEnv) => {
    // `script` runs a command on a terminal of its own
    const child = spawn("script", ["-qec", `${process.execPath} ${BIN} ${command}`, "/dev/null"], {
      env: env(more)
    })
    let screen = ""
    let typed = false
    child.stdout.on("data", (chunk) => {
      screen += chunk
      if (typed || !screen.includes(prompt)) return
      typed = true
      setTimeout(() => child.stdin.write(line), 300)
    })
    const [code] = await once(child, "close")
    return { code, screen }
  }

  it("does not show a password that is typed", async () => {
    const dir = Path.join(state, "typed")
    const { code, screen } = await type(`keys generate --dir ${dir} --password-stdin`, "not shown",
      "correct horxe\u007f\u007fse\r")
    expect(screen).not.toContain("hor")
    expect(code).toBe(0)
    expect((await shell(`printf 'correct horse' | nomyo keys show --dir ${dir} --password-stdin`)).stdout)
      .toContain("4096 bits")
  })

  it("has no colours in log lines with NO_COLOR", async () => {
    const { screen } = await type("chat hi", "never", "", { NO_COLOR: "1" })
    const line = screen.split("\n").find((line) => line.includes("plain HTTP"))
    // oxlint-disable-next-line no-control-regex
    expect(line).toMatch(/^[^\u001b]+$/)
  })
})
