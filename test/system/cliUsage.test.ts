import { describe, expect, it } from "vitest"
import { nomyo } from "../support/cli.js"
import { startOnTerminal } from "../support/terminal.js"

const COMMANDS = [
  "", "chat", "demo", "doctor", "keys", "keys check", "keys generate", "keys rotate", "keys show", "proxy",
  "router"
]
const words = (command: string) => command === "" ? [] : command.split(" ")

describe("help", () => {
  it.each(COMMANDS)("of nomyo %s has the program's name and an example", async (command) => {
    const { code, stderr, stdout } = await nomyo([...words(command), "--help"])
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toMatch(new RegExp(`\\nUsage:\\n  nomyo ${command}`))
    expect(stdout).toMatch(/\nExample:\n  \S.*nomyo|\nExample:\n  nomyo/)
    expect(stdout).not.toMatch(/user-defined|This setting|true or false value|\btext\b$/m)
  })

  it("shows what holds without an option", async () => {
    const { stdout } = await nomyo(["chat", "--help"])
    for (const text of ["Default: Qwen/Qwen3-0.6B", "or https://api.nomyo.ai", "NOMYO_PROTOCOL, or 1"]) {
      expect(stdout.replace(/\s+/g, " ")).toContain(text)
    }
    expect((await nomyo(["router", "--help"])).stdout).toContain("Default: 12435")
    expect((await nomyo(["--help"])).stdout).toContain("\n  --version\n")
  })

  it.each(COMMANDS)("of nomyo %s fits in 60 columns", async (command) => {
    const terminal = startOnTerminal(`${command} --help`, { columns: 60 })
    expect(await terminal.ended).toBe(0)
    const tooLong = terminal.screen().split(/\r?\n/).filter((line) => line.length > 60)
    expect(tooLong.filter((line) => line.trim().includes(" ") && !line.startsWith("  "))).toEqual([])
  })

  it("fits in COLUMNS where it does not go to a terminal", async () => {
    const { stdout } = await nomyo(["router", "--help"], { env: { COLUMNS: "50" } })
    const prose = stdout.split("\n").filter((line) => /^(\S.*| {6}\S.*)$/.test(line))
    expect(Math.max(...prose.map(({ length }) => length))).toBeLessThanOrEqual(50)
  })

  it("is shown where a command is missing", async () => {
    expect((await nomyo([])).stdout).toContain("Usage:\n  nomyo <command>")
    expect((await nomyo(["keys"])).stdout).toContain("Usage:\n  nomyo keys <command>")
  })
})

describe("wrong usage", () => {
  it.each([
    ["sing", "There is no command sing. nomyo --help lists the commands."],
    ["chatt", "Did you mean chat?"],
    ["--bogus", "There is no option --bogus before the command. nomyo --help lists the commands."],
    ["keys --bogus", "There is no option --bogus before the command. nomyo keys --help lists the commands."],
    ["--versoin", "Did you mean --version? nomyo --help lists the commands."],
    ["-v", "There is no option -v before the command. Did you mean --version?"],
    ["chat -x hi", "There is no option -x. nomyo chat --help lists the options."],
    ["chat -m gpt hi", "There is no option -m. Did you mean --model?"],
    ["keys chek", "Did you mean check?"],
    ["chat --volume 11", "There is no option --volume. nomyo chat --help lists the options."],
    ["chat --modell x", "Did you mean --model?"],
    ["chat --model", "--model needs a value: --model ID"],
    ["chat hi --tier ultra", "--tier must be one of: standard, high, maximum"],
    ["chat what is this", "Put the prompt in quotes."],
    ["keys show mine", "nomyo keys show takes only options."],
    ["router --port many", "--port must be a whole number, such as --port 12435"],
    ["proxy --port many", "--port must be a whole number, such as --port 12436"],
    ["doctor --port many", "--port must be a number from 0 to 65535, such as --port 12500"],
    ["router --keys-ahead abc", "--keys-ahead must be a whole number, such as --keys-ahead 3"],
    ["router --keys-ahead 101", "--keys-ahead must be a number from 0 to 100, such as --keys-ahead 3"],
    ["router --protocol 1", "--protocol must be 2, or left out"],
    ["router --authority http://x", "--authority must be a host or host:port such as chat.example"],
    ["router --authority ", "--authority needs a value: --authority HOST"],
    ["proxy --allow-host http://x/", "--allow-host must be a host name such as chat.example"],
    ["router --allow-host chat.example:443", "--allow-host must be a host name such as chat.example"],
    ["proxy --models ,", "--models must be ids separated by commas, such as --models first,second"],
    ["proxy --token-file - --api-key-file -", "--token-file and --api-key-file both read standard input"],
    ["router --api-key-file - --upstream-api-key-file - --upstream http://127.0.0.1:1",
      "--api-key-file and --upstream-api-key-file both read standard input"],
    ["proxy --token-file /nowhere", "Tokens cannot be read from /nowhere (ENOENT)"],
    ["proxy --token-file /dev/null", "Tokens cannot be read from /dev/null"],
    ["proxy --token-file -", "There is no token in standard input. Write one on each line"],
    ["router --port 70000", "--port must be a number from 0 to 65535"],
    ["router --flush soon", "--flush must be a time such as"],
    ["router --drain 10", "--drain must be a time such as"],
    ["router --drain=-1s", "--drain must be a time such as"],
    ["router --flush=-50", "--flush must be a time such as"],
    ["proxy --timeout soon", "--timeout must be a time such as"],
    ["proxy --idle-timeout soon", "--idle-timeout must be a time such as"],
    ["chat hi --base-url example", "--base-url"]
  ])("ends with 2 and says what to do: nomyo %s", async (line, said) => {
    const { code, stderr, stdout } = await nomyo(line.split(" "))
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: "", stderr: expect.stringContaining(said) })
    expect(stderr).toMatch(/^nomyo: [^\n]+\n$/)
  })

  it.each([
    ["NOMYO_BASE_URL", "chat hi"],
    ["NOMYO_BASE_URL", "proxy"],
    ["--base-url", "chat hi --base-url=example"],
    ["--base-url", "demo --base-url example"]
  ])("names the place of a wrong URL, %s: nomyo %s", async (name, line) => {
    const { stderr } = await nomyo(line.split(" "), { env: { NOMYO_BASE_URL: "foo" } })
    expect(stderr).toMatch(new RegExp(`^nomyo: Invalid ${name}: expected an HTTPS URL`))
  })

  it("names the API key's variable", async () => {
    const { code, stderr } = await nomyo(["chat", "hi", "--base-url", "http://127.0.0.1:1", "--allow-http"], {
      env: { NOMYO_API_KEY: "sk SENTINEL", NOMYO_KEY_DIR: "memory", NOMYO_KEY_SIZE: "2048" }
    })
    expect({ code, stderr }).toEqual({ code: 1,
      stderr: expect.stringMatching(/The API key \(NOMYO_API_KEY\) holds a space, .*Remove that character/) })
    expect(stderr).not.toContain("SENTINEL")
  })

  it.each(["chat --api-key=sk-SENTINEL", "chat --api-key sk-SENTINEL", "keys show --password SENTINEL"])(
    "takes no secret from the command line, and repeats none: nomyo %s",
    async (line) => {
      const { code, stderr } = await nomyo(line.split(" "))
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("Secrets come from") })
      expect(stderr).not.toContain("SENTINEL")
    }
  )

  it.each([
    ["NOMYO_TIMEOUT", "chat hi"],
    ["NOMYO_MAX_RETRIES", "chat hi"],
    ["NOMYO_PROTOCOL", "demo"],
    ["NOMYO_ALLOW_HTTP", "proxy"]
  ])("in the environment ends with 2: %s=soon nomyo %s", async (name, line) => {
    const { code, stderr } = await nomyo(line.split(" "), { env: { [name]: "soon" } })
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(new RegExp(`^nomyo: ${name} in the environment is not valid: expected `))
    })
  })
})
