import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { makeScriptedModel } from "../support/scriptedModel.js"
import * as Servers from "../support/servers.js"
import { startOnTerminal } from "../support/terminal.js"

const { asked, cancelled, model } = makeScriptedModel()
const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
const CTRL_C = "\u0003"
const CTRL_D = "\u0004"
let url: string
let close: () => Promise<void>

beforeAll(async () => {
  const models = Effect.succeed(["Qwen/Qwen3-0.6B", "other"])
  const router = await Servers.scoped(Servers.router({ model, models }))
  url = router.value
  close = router.close
})
afterAll(() => close())

const env = () => ({
  NOMYO_BASE_URL: url,
  NOMYO_ALLOW_HTTP: "true",
  NOMYO_KEY_SIZE: "2048",
  NOMYO_KEY_DIR: "memory"
})

const start = async (words = "chat", more: NodeJS.ProcessEnv = {}) => {
  const terminal = startOnTerminal(words, { env: { ...env(), ...more } })
  await terminal.see(">>> ")
  /** Sends a message, and gives what the terminal shows until the next prompt. */
  const say = async (text: string) => {
    terminal.type(`${text}\r`)
    return terminal.see(">>> ")
  }
  return { ...terminal, say }
}

const messages = () => asked.at(-1)?.payload.messages

describe("a conversation", () => {
  it("remembers three turns, and forgets the one that is cancelled", async () => {
    const { ended, say, see, type } = await start("chat --system 'Be brief.'")
    expect(await say("My name is Ada.")).toContain("You said: My name is Ada.")
    expect(await say("What is my name?")).toContain("You said: What is my name?")
    type("Tell me never\r")
    await see("Waiting for the answer 1 s")
    await expect.poll(() => messages()?.at(-1)?.content, { timeout: 30_000 }).toBe("Tell me never")
    type(CTRL_C)
    expect(await see(">>> ")).toContain("Cancelled.")
    await expect.poll(() => cancelled, { timeout: 30_000 }).toEqual(["Tell me never"])
    expect(await say("And now?")).toContain("You said: And now?")
    expect(messages()).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "My name is Ada." },
      { role: "assistant", content: "You said: My name is Ada." },
      { role: "user", content: "What is my name?" },
      { role: "assistant", content: "You said: What is my name?" },
      { role: "user", content: "And now?" }
    ])
    type(CTRL_C)
    expect(await ended).toBe(0)
  })

  it("tells a refusal, a tool call, an empty answer and a content filter", async () => {
    const { ended, say, type } = await start()
    expect(await say("refuse")).toContain("The model refuses: I must not say that.")
    expect(await say("tool")).toContain("get_weather({\"city\":\"Paris\"})")
    expect(await say("empty")).toContain("The model gave an empty answer.")
    expect(await say("filter")).toMatch(/Half of i\s+A content filter/)
    type(CTRL_D)
    expect(await ended).toBe(0)
  })

  it("takes messages of several lines: continued, fenced and pasted", async () => {
    const { ended, say, type } = await start()
    await say("one\\\rtwo")
    expect(messages()?.at(-1)).toEqual({ role: "user", content: "one\ntwo" })
    await say("\"\"\"\rthree\r\rfour\r\"\"\"")
    expect(messages()?.at(-1)).toEqual({ role: "user", content: "three\n\nfour" })
    await say("\u001b[200~five\nsix\u001b[201~ seven")
    expect(messages()?.at(-1)).toEqual({ role: "user", content: "five\nsix seven" })
    type("/exit\r")
    expect(await ended).toBe(0)
  })

  it("sends a file along with the first message, and another by /file", async () => {
    const [notes, image] = [Path.join(directory, "notes.txt"), Path.join(directory, "dot.png")]
    Fs.writeFileSync(notes, "The sky is green.")
    Fs.writeFileSync(image, Buffer.from("89504e470d0a1a0a00", "hex"))
    const { say, type } = await start(`chat --file ${notes}`)
    await say("Which colour?")
    expect(messages()?.at(-1)?.content).toBe("Which colour?\n\nnotes.txt:\n\nThe sky is green.")
    await say("Without")
    expect(messages()?.at(-1)).toEqual({ role: "user", content: "Without" })
    await say(`/file ${image}`)
    await say("And this?")
    expect(messages()?.at(-1)?.content).toEqual([
      { type: "text", text: "And this?" },
      { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgoA" } }
    ])
    type(CTRL_D)
  })

  it("changes the model, the tier and the system message", async () => {
    const { say, type } = await start()
    expect(await say("/model othr")).toContain("Did you mean other?")
    expect(await say("/model")).toContain("Qwen/Qwen3-0.6B")
    await say("/model other")
    expect(await say("/tier gold")).toContain("standard, high, maximum")
    await say("/tier high")
    await say("/system Answer in French.")
    await say("Hello")
    expect(asked.at(-1)).toMatchObject({
      securityTier: "high",
      payload: {
        model: "other",
        messages: [{ role: "system", content: "Answer in French." }, { content: "Hello" }]
      }
    })
    expect(await say("/nothing")).toContain("/help lists them")
    expect(await say("/help")).toContain("/save PATH")
    type("/exit\r")
  })

  it("saves itself in a new file that others cannot read", async () => {
    const { say, type } = await start()
    await say("Hello")
    const [markdown, json] = [Path.join(directory, "chat.md"), Path.join(directory, "chat.json")]
    expect(await say(`/save ${markdown}`)).toContain("Saved")
    expect(await say(`/save ${markdown}`)).toContain("exists already")
    await say(`/save ${json}`)
    expect(Fs.readFileSync(markdown, "utf8")).toBe("## user\n\nHello\n\n## assistant\n\nYou said: Hello\n")
    expect(Fs.statSync(markdown).mode & 0o777).toBe(0o600)
    expect(JSON.parse(Fs.readFileSync(json, "utf8"))).toEqual({
      model: "Qwen/Qwen3-0.6B",
      messages: [{ role: "user", content: "Hello" }, { role: "assistant", content: "You said: Hello" }]
    })
    type(CTRL_D)
  })

  it("shows a failure and goes on", async () => {
    const { say, type } = await start("chat", { NOMYO_MAX_RETRIES: "0" })
    expect(await say("/file /nowhere")).toContain("there is no such file")
    expect(await say("Still here?")).toContain("You said: Still here?")
    type(CTRL_D)
  })

  it("takes back a line by Ctrl-C, and leaves by the next one", async () => {
    const { ended, see, type } = await start()
    const before = asked.length
    type(`half a sentence${CTRL_C}`)
    await see(">>> ")
    type(CTRL_C)
    expect(await ended).toBe(0)
    expect(asked).toHaveLength(before)
  })
})
