import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Model from "../../src/router/Model.js"
import * as Servers from "../support/servers.js"

const API_KEY = "sk-cli-0123456789"
const BIN = "dist/cli/nomyo.cjs"

let url: string
let close: () => Promise<void>
const seen: Array<Model.Opened> = []

beforeAll(async () => {
  const echo = Effect.runSync(Model.makeEcho)
  const model = (request: Model.Opened) =>
    Effect.zipRight(Effect.sync(() => seen.push(request)), echo(request))
  const router = await Servers.scoped(Servers.router({ apiKey: Redacted.make(API_KEY), model }))
  url = router.value
  close = router.close
})
afterAll(() => close())

const temporaryDirectory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
const environment = {
  ...process.env,
  XDG_STATE_HOME: temporaryDirectory(),
  NOMYO_API_KEY: API_KEY,
  NOMYO_KEY_SIZE: "2048",
  NOMYO_MAX_RETRIES: "0"
}

const nomyo = (args: ReadonlyArray<string>,
  options: { readonly stdin?: string; readonly env?: NodeJS.ProcessEnv } = {}) =>
  new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>(
    (resolve) => {
      const child = execFile(process.execPath, [BIN, ...args], { env: options.env ?? environment },
        (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }))
      child.stdin?.end(options.stdin ?? "")
    }
  )

const chat = (...args: ReadonlyArray<string>) => nomyo(["chat", ...args, "--base-url", url, "--allow-http"])

describe("nomyo", () => {
  it("says its version", async () => {
    expect((await nomyo(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it("is content with a reader that has seen enough", async () => {
    const { stderr } = await promisify(execFile)("bash", ["-c",
      `set -o pipefail; ${process.execPath} ${BIN} --help | head -c 1`])
    expect(stderr).toBe("")
  })
})

describe("nomyo chat", () => {
  it("prints the answer to a prompt, and nothing else, on stdout", async () => {
    const { code, stderr, stdout } = await chat("What is 2+2?", "--system", "Be brief.", "--tier", "high",
      "--model", "m")
    expect({ code, stdout }).toEqual({ code: 0, stdout: "You said: What is 2+2?\n" })
    expect(stderr).toContain("plain HTTP")
    expect(seen.at(-1)).toMatchObject({
      securityTier: "high",
      payload: { model: "m",
        messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "What is 2+2?" }] }
    })
  })

  it("reads the prompt from standard input", async () => {
    const { code, stdout } = await nomyo(["chat", "--base-url", url, "--allow-http"], {
      stdin: "two\nlines ü\n"
    })
    expect({ code, stdout }).toEqual({ code: 0, stdout: "You said: two\nlines ü\n" })
    const empty = await nomyo(["chat", "--base-url", url, "--allow-http"], { stdin: " \n" })
    expect({ code: empty.code, stdout: empty.stdout }).toEqual({ code: 2, stdout: "" })
    expect(empty.stderr).toContain("no prompt")
  })

  it("prints the whole answer as JSON", async () => {
    const { stdout } = await chat("Hello!", "--json")
    expect(JSON.parse(stdout)).toMatchObject({ choices: [{ message: { content: "You said: Hello!" } }],
      _metadata: { is_encrypted: true } })
  })

  it.each([["SIGINT", 130], ["SIGTERM", 143]] as const)("does not call it success to be ended by %s",
    async (signal, code) => {
      const silent = await Servers.scoped(Servers.tcpServer(() => undefined))
      const child = spawn(process.execPath, [BIN, "chat", "hi", "--base-url", silent.value, "--allow-http"], {
        env: environment
      })
      await once(child.stderr, "data")
      child.kill(signal)
      expect((await once(child, "exit"))[0]).toBe(code)
      await silent.close()
    })

  it("shows reasoning apart from the answer", async () => {
    const { stderr, stdout } = await chat("Hello!", "--model", "a-Thinking-model")
    expect(stdout).toBe("You said: Hello!\n")
    expect(stderr).toContain("I am to repeat 1 words.")
  })

  it("lets nothing that a model says steer the terminal", async () => {
    const { stdout } = await chat("\u001b[2Jhid\u0007den\tand\u009bm more")
    // oxlint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/)
    expect(stdout).toBe("You said: \ufffd[2Jhid\ufffdden\tand\ufffdm more\n")
  })

  it("says what went wrong on stderr, with 1, and never the key", async () => {
    const wrong = await nomyo(["chat", "hi", "--base-url", url, "--allow-http"], {
      env: { ...environment, NOMYO_API_KEY: "sk-wrong" }
    })
    expect({ code: wrong.code, stdout: wrong.stdout }).toEqual({ code: 1, stdout: "" })
    expect(wrong.stderr).toMatch(/nomyo: AuthenticationError: .*\n$/)
    const http = await nomyo(["chat", "hi", "--base-url", url])
    expect(http).toMatchObject({ code: 2, stderr: expect.stringMatching(/^nomyo: .*--allow-http/) })
    const bad = await nomyo(["chat", "hi"], { env: { ...environment, NOMYO_TIMEOUT: "soon" } })
    expect({ code: bad.code, stdout: bad.stdout }).toEqual({ code: 2, stdout: "" })
    expect(bad.stderr).toContain("NOMYO_TIMEOUT in the environment is not valid: expected a time")
    for (const { stderr } of [wrong, http, bad]) expect(stderr).not.toContain("sk-")
  })
})

describe("nomyo keys", () => {
  const keys = (...args: ReadonlyArray<string>) => nomyo(["keys", ...args])

  it("makes, shows, replaces and checks a pair, and shows nothing private", async () => {
    const dir = Path.join(temporaryDirectory(), "keys")
    const made = await keys("generate", "--dir", dir)
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" })
    const fingerprint = /SHA-256 ([0-9a-f]{64})/.exec(made.stdout)![1]
    const shown = await keys("show", "--dir", dir)
    for (const part of ["4096 bits", fingerprint!, "private_key.pem  mode 0600", "public_key.pem   mode 0644",
      "made             20"]) {
      expect(shown.stdout).toContain(part)
    }
    const again = await keys("generate", "--dir", dir)
    expect({ code: again.code, stdout: again.stdout }).toEqual({ code: 1, stdout: "" })
    expect(again.stderr).toContain("nomyo keys rotate")
    expect((await keys("check", "--dir", dir)).stdout).toBe(`${dir} is in order\n`)
    const rotated = await keys("rotate", "--dir", dir)
    expect(rotated.code).toBe(0)
    expect(rotated.stdout).not.toContain(fingerprint)
    const secret = Fs.readFileSync(Path.join(dir, "private_key.pem"), "utf8").split("\n")[20]!
    for (const { stdout } of [made, shown, rotated]) {
      expect(stdout).not.toContain("BEGIN")
      expect(stdout).not.toContain(secret)
    }
  })

  it("reads a password from standard input", async () => {
    const dir = temporaryDirectory()
    const withPassword = (stdin: string, ...args: ReadonlyArray<string>) =>
      nomyo(["keys", ...args, "--dir", dir, "--password-stdin"], { stdin })
    expect((await withPassword("short\n", "generate")).stderr).toContain("8 characters")
    expect((await withPassword("correct horse\n", "generate")).code).toBe(0)
    expect(Fs.readFileSync(Path.join(dir, "private_key.pem"), "utf8")).toContain("ENCRYPTED")
    expect((await withPassword("correct horse", "show")).code).toBe(0)
    for (const failed of [await withPassword("wrong horse", "rotate"), await keys("show", "--dir", dir)]) {
      expect({ code: failed.code, stdout: failed.stdout }).toEqual({ code: 1, stdout: "" })
      expect(failed.stderr).toMatch(/password/)
      expect(failed.stderr).not.toContain("horse")
    }
  })

  const withKey = (name: string) => {
    const dir = temporaryDirectory()
    Fs.copyFileSync(`test/vectors/keys/${name}`, Path.join(dir, "private_key.pem"))
    Fs.chmodSync(Path.join(dir, "private_key.pem"), 0o600)
    return dir
  }

  it("says of an encrypted or a damaged key which file it is, and where its password comes from", async () => {
    const dir = withKey("client_4096.encrypted-pkcs8.pem")
    const path = Path.join(dir, "private_key.pem")
    const withPassword = (command: string) =>
      nomyo(["keys", command, "--dir", dir, "--password-stdin"], { stdin: "wrong SENTINEL" })
    expect((await keys("show", "--dir", dir)).stderr).toContain(
      `The private key ${path} needs a password, or its file is damaged. Pass --password-stdin`
    )
    expect((await withPassword("show")).stderr).toContain(
      `The password of the private key ${path} is wrong, or its file is damaged. Check the password on standard`
    )
    expect((await withPassword("check")).stdout).toBe(
      `The password of the private key ${path} is wrong, or its file is damaged; ` +
        "check the password on standard input\n"
    )
    Fs.writeFileSync(path, "damaged")
    expect((await keys("show", "--dir", dir)).stderr).toContain(`The private key ${path} holds no private key`)
  })

  it("warns once of a password for a key that is not encrypted", async () => {
    const dir = withKey("client_4096.pem")
    const args = ["keys", "check", "--dir", dir, "--password-stdin"]
    const { stderr, stdout } = await nomyo(args, { stdin: "correct horse" })
    expect(stderr.match(/warn: .*/g)).toEqual([expect.stringContaining("--password-stdin is given, but the")])
    expect(stdout).toContain("public_key.pem does not exist; nothing: the next use of the pair writes it")
  })

  it("says what to do about a directory that cannot be used", async () => {
    const file = Path.join(withKey("client_4096.pem"), "private_key.pem")
    expect((await keys("check", "--dir", "/nowhere/x")).stdout).toBe(
      "/nowhere/x does not exist; run: nomyo keys generate --dir /nowhere/x\n"
    )
    expect((await keys("check", "--dir", `${file}/x`)).stdout).toContain("(ENOTDIR); a part of its path is a file")
    expect((await keys("generate", "--dir", file)).stderr).toContain("(ENOTDIR); a part of its path is a file")
    expect((await keys("generate", "--dir", "/proc/x")).stderr).toMatch(/ access to it, or name another with --dir$/m)
    const router = await nomyo(["router", "--port", "0", "--key-dir", "/proc/x"])
    expect(router.stderr).toMatch(/ access to it, or leave out --key-dir to keep keys in memory$/m)
    const inMemory = await nomyo(["keys", "generate"], { env: { ...environment, NOMYO_KEY_DIR: "memory" } })
    expect(inMemory).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("Name one with --dir") })
  })

  it("says everything that is wrong with a directory", async () => {
    const dir = temporaryDirectory()
    const complaints = async (...args: ReadonlyArray<string>) => {
      const { code, stdout } = await keys("check", "--dir", dir, ...args)
      expect(code).toBe(1)
      return stdout
    }
    expect(await complaints()).toContain("private_key.pem is missing")
    Fs.copyFileSync("test/vectors/keys/client_4096.pem", Path.join(dir, "private_key.pem"))
    Fs.copyFileSync("test/vectors/keys/server_4096.pub.pem", Path.join(dir, "public_key.pem"))
    Fs.writeFileSync(Path.join(dir, "private_key.pem.0123456789abcdef.tmp"), "")
    Fs.chmodSync(Path.join(dir, "private_key.pem"), 0o644)
    Fs.chmodSync(dir, 0o777)
    const all = await complaints()
    for (const part of ["chmod go-w", "chmod 600", "left behind", "does not belong"])
      expect(all).toContain(part)
    Fs.copyFileSync("test/vectors/keys/client_4096.encrypted-pkcs8.pem", Path.join(dir, "private_key.pem"))
    expect(await complaints()).toContain("needs a password")
    Fs.copyFileSync("test/vectors/keys/rejected_1024.pem", Path.join(dir, "private_key.pem"))
    expect(await complaints()).toContain("2048 bits")
    expect((await keys("check", "--dir", "/nowhere")).stdout).toContain("does not exist")
    expect((await keys("show", "--dir", temporaryDirectory())).stderr).toContain("nomyo keys generate")
  })
})

describe("nomyo demo", () => {
  it("shows an encrypted chat with a router of its own", async () => {
    const { code, stdout } = await nomyo(["demo"], { env: { ...process.env, NOMYO_KEY_SIZE: "2048" } })
    expect(code).toBe(0)
    for (const part of ["Hello! Who can read this?", "hybrid-aes256-rsa4096",
      "You said: Hello! Who can read this?"]) expect(stdout).toContain(part)
    expect(stdout.match(/\d+\.\d ms$/gm)).toHaveLength(6)
  })

  it("has colours and a spinner on a terminal, and takes the spinner away", async () => {
    // `script` runs a command on a terminal of its own
    const child = execFile("script", ["-qec", `${process.execPath} ${BIN} demo`, "/dev/null"], {
      env: { ...process.env, NOMYO_KEY_SIZE: "2048", NO_COLOR: "" },
      timeout: 20_000
    })
    child.stdin?.end()
    let screen = ""
    child.stdout?.on("data", (chunk) => {
      screen += chunk
    })
    const [code] = await once(child, "close")
    expect(code).toBe(0)
    expect(screen).toContain("Making the client's key pair")
    expect(screen).toContain("\u001b[1m")
    const warnings = screen.split(/[\r\n]+/).filter((line) => line.includes("plain HTTP"))
    expect(warnings).toEqual([expect.stringMatching(/^\S+warn\S+ nomyo-js/)])
    expect(screen.slice(screen.lastIndexOf("Making"))).toMatch(/^[^\r]+\r +\r/)
  })

  it("talks to the router it is given", async () => {
    const { code, stdout } = await nomyo(["demo", "--base-url", url, "--allow-http"])
    expect(code).toBe(0)
    expect(stdout).toContain(`The router is ${url}`)
    expect(stdout).toContain("You said:")
  })
})
