import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type * as Model from "../../src/router/Model.js"
import { type Ended, nomyo } from "../support/cli.js"
import { makeScriptedModel } from "../support/scriptedModel.js"
import * as Servers from "../support/servers.js"
import { startOnTerminal } from "../support/terminal.js"

const { asked, model } = makeScriptedModel()
const BIN = "dist/cli/nomyo.cjs"
const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
let url: string
let listing: string
const closers: Array<() => Promise<void>> = []

beforeAll(async () => {
  for (const models of [undefined, Effect.succeed(["first", "second"])]) {
    const router = await Servers.scoped(Servers.router({ model, models }))
    closers.push(router.close)
    if (models === undefined) url = router.value
    else listing = router.value
  }
})
afterAll(async () => {
  for (const close of closers) await close()
})

const env = (NOMYO_BASE_URL = url) => ({
  NOMYO_BASE_URL,
  NOMYO_ALLOW_HTTP: "true",
  NOMYO_KEY_SIZE: "2048",
  NOMYO_KEY_DIR: "memory"
})

const chat = (args: ReadonlyArray<string>, more: NodeJS.ProcessEnv = {}) =>
  nomyo(["chat", ...args], { env: { ...env(), ...more } })

/** Pipes bytes into `nomyo chat`. */
const pipe = (bytes: Buffer) =>
  new Promise<Ended>((resolve) => {
    const options = { env: { ...process.env, ...env() } }
    const child = execFile(process.execPath, [BIN, "chat"], options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }))
    child.stdin?.end(bytes)
  })

const lastContent = () => asked.at(-1)?.payload.messages.at(-1)?.content
const file = (name: string, bytes: Buffer | string) => {
  const path = Path.join(directory, name)
  Fs.writeFileSync(path, bytes)
  return path
}

describe("an answer", () => {
  it.each([
    ["refuse", "The model refuses: I must not say that."],
    ["tool", "which nomyo chat does not run: get_weather({\"city\":\"Paris\"})"],
    ["legacy", "which nomyo chat does not run: old_weather({})"],
    ["empty", "The model gave an empty answer."],
    ["filtered", "A content filter withheld the answer"]
  ])("without a text ends with 1 and says why: %s", async (prompt, said) => {
    expect(await chat([prompt])).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining(said) })
  })

  it.each([
    ["filter", "Half of i\n", "A content filter withheld"],
    ["long", "Once upon a\n", "cut off at the token limit"]
  ])("that is not whole says so: %s", async (prompt, stdout, said) => {
    expect(await chat([prompt])).toEqual({ code: 0, stdout, stderr: expect.stringContaining(said) })
  })

  it.each(["1", "2"])("keeps CR LF in a pipe, by protocol %s", async (NOMYO_PROTOCOL) => {
    expect((await chat(["crlf"], { NOMYO_PROTOCOL })).stdout).toBe("one\r\ntwo\r\n")
  })

  it("steers no terminal, as JSON neither", async () => {
    expect((await chat(["steer"])).stdout).toBe("\ufffd[2J\ufffd2J\ufffdgnp.exe\n")
    const { stdout } = await chat(["steer", "--json"])
    // oxlint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
    expect(JSON.parse(stdout).choices[0].message.content).toBe("\u001b[2J\u009b2J\u202egnp.exe")
  })

  it("that cannot be written ends with 1 and says so", async () => {
    const command = `${process.execPath} ${BIN} chat hi < /dev/null > /dev/full`
    const running = promisify(execFile)("bash", ["-c", command], { env: { ...process.env, ...env() } })
    await expect(running).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("(ENOSPC)") })
  })
})

describe("an answer over protocol 2", () => {
  /** A router whose model says a word, and goes on when it is told to. */
  const hesitant = async () => {
    let goOn = () => {}
    const told = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const event = (content: string) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
    const end = `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`
    const rest = Stream.fromIterable([event("two"), end, "data: [DONE]\n\n"])
    const events = Stream.concat(
      Stream.make(event("one ")),
      Stream.unwrap(Effect.as(Effect.promise(() => told), rest))
    )
    const answer: Model.Model = (request) => model(request)
    const speaking = Object.assign(answer, { stream: () => Effect.succeed(events) })
    const router = await Servers.scoped(Servers.router({ model: speaking }))
    closers.push(router.close)
    return { goOn, url: router.value }
  }

  it("is printed as it comes", async () => {
    const { goOn, url } = await hesitant()
    const child = spawn(process.execPath, [BIN, "chat", "hi"], {
      env: { ...process.env, ...env(url), NOMYO_PROTOCOL: "2" },
      stdio: ["ignore", "pipe", "ignore"]
    })
    let printed = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text
    })
    await once(child.stdout, "data")
    expect(printed).toBe("one ")
    goOn()
    expect({ code: (await once(child, "close"))[0], printed }).toEqual({ code: 0, printed: "one two\n" })
  })
})

describe("input", () => {
  it.each([
    ["UTF-8", Buffer.from("grüß")],
    ["UTF-8 with a byte order mark", Buffer.from("\ufeffgrüß")],
    ["UTF-16 LE", Buffer.from("\ufeffgrüß", "utf16le")],
    ["UTF-16 BE", Buffer.from("\ufeffgrüß", "utf16le").swap16()]
  ])("in %s is decoded", async (_, bytes) => {
    expect((await pipe(bytes)).stdout).toBe("You said: grüß\n")
  })

  it.each([
    ["Latin-1", Buffer.from("grüß", "latin1")],
    ["UTF-32", Buffer.from("fffe0000670000007200000", "hex")],
    ["half a UTF-16 character", Buffer.from("fffe670072", "hex")],
    ["zeros", Buffer.from([0, 1, 2])]
  ])("in %s is refused", async (_, bytes) => {
    const before = asked.length
    const { code, stderr, stdout } = await pipe(bytes)
    expect({ code, stderr, stdout }).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("not text in UTF-8 or UTF-16. Convert it first")
    })
    expect(asked).toHaveLength(before)
  })

  it("takes texts and images from files", async () => {
    const text = file("notes.txt", Buffer.from("\ufeffblue", "utf16le"))
    const jpeg = file("photo.jpg", Buffer.from("ffd8ffe0", "hex"))
    await chat(["Look", "--file", text, "--file", jpeg])
    expect(lastContent()).toEqual([
      { type: "text", text: "Look\n\nnotes.txt:\n\nblue" },
      { type: "image_url", image_url: { url: "data:image/jpeg;base64,/9j/4A==" } }
    ])
  })

  it.each([
    ["/nowhere", "there is no such file"],
    ["/", "it is a directory"],
    ["/dev/zero", "larger than 10 MiB"]
  ])("does not take %s", async (path, said) => {
    const { code, stderr } = await chat(["hi", "--file", path])
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(said) })
  })

  it("takes no other kind of file", async () => {
    const pdf = file("report.pdf", Buffer.from("255044462d312e37e2e3cfd3", "hex"))
    expect(await chat(["hi", "--file", pdf])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("report.pdf is neither UTF-8 or UTF-16 text nor a PNG")
    })
    expect(await chat(["hi", "--file", directory])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${directory} cannot be sent: it is a directory. Choose another file`)
    })
  })
})

describe("the model", () => {
  it("is refused if the router does not list it", async () => {
    const { code, stderr } = await chat(["hi", "--model", "secnd"], { NOMYO_BASE_URL: listing })
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("Did you mean second?") })
    const unlike = await chat(["hi", "--model", "x"], { NOMYO_BASE_URL: listing })
    expect(unlike.stderr).toContain("--model: first, second")
    expect((await chat(["hi", "--model", "second"], { NOMYO_BASE_URL: listing })).code).toBe(0)
  })

  it("is the first of the list if that lacks the default", async () => {
    const { code, stderr } = await chat(["hi"], { NOMYO_BASE_URL: listing })
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("The model is first.") })
    expect(asked.at(-1)?.payload.model).toBe("first")
  })

  it("is warned of where the router has no list", async () => {
    const { code, stderr } = await chat(["hi", "--model", "other"])
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("lists no models") })
    expect((await chat(["hi"])).stderr).not.toContain("lists no models")
  })
})

describe("the wait", () => {
  it("shows the seconds on a terminal, and no line runs into them", async () => {
    const terminal = startOnTerminal("chat never", { env: env() })
    const before = await terminal.see("Waiting for the answer 1 s")
    expect(before).toContain("Waiting for the answer 0 s")
    terminal.type("\u0003")
    expect(await terminal.ended).toBe(130)
    const lines = terminal.screen().split(/[\r\n]+/).filter((line) => line.includes("warn"))
    expect(lines).toEqual([expect.stringMatching(/^warn: nomyo-js talks plain HTTP/)])
  })

  it("shows nothing where there is no terminal", async () => {
    expect((await chat(["hi"])).stderr).not.toContain("Waiting")
  })
})
