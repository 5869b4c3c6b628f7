import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { DisposedError } from "../../src/index.js"
import { error, hello, setup, temporaryDirectory } from "../support/promise.js"

const { make, makeLower } = setup()

describe("keyDir", () => {
  it("is emptied by forgetKeys, and filled again by the next call", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    const client = make({ keyDir })
    const { fingerprint } = await client.ready()
    await client.forgetKeys()
    expect(Fs.readdirSync(keyDir)).toEqual([])
    expect((await client.ready()).fingerprint).not.toBe(fingerprint)
    expect(Fs.readdirSync(keyDir)).toContain("private_key.pem")
    client.dispose()
    expect(await error(client.forgetKeys())).toBeInstanceOf(DisposedError)
  })

  it("saves the pair on first use and loads it afterwards", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    const first = await make({ keyDir }).ready()
    const mode = (name: string) => (Fs.statSync(Path.join(keyDir, name)).mode & 0o777).toString(8)
    expect([mode("private_key.pem"), mode("public_key.pem"), mode("")]).toEqual(["600", "644", "700"])
    expect(Fs.readdirSync(keyDir).toSorted()).toEqual(["private_key.pem", "public_key.pem"])
    expect(Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")).toBe(first.pem)
    const again = make({ keyDir })
    expect(await again.ready()).toEqual(first)
    expect((await again.create(hello())).choices).toHaveLength(1)
  })

  it("encrypts the file with a password, and needs it again", async () => {
    const keyDir = temporaryDirectory()
    const first = await make({ keyDir, keyRotationPassword: "correct horse" }).ready()
    const file = Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")
    expect(file).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
    expect(await make({ keyDir, keyRotationPassword: "correct horse" }).ready()).toEqual(first)
    for (const keyRotationPassword of [undefined, "wrong horse"]) {
      expect(
        await error(
          make({ keyDir, ...(keyRotationPassword === undefined ? {} : { keyRotationPassword }) }).ready()
        )
      )
        .toMatchObject({ name: "SecurityError", reason: "key-password" })
    }
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toBe(file)
  })

  it("keeps rotated pairs in keyRotationDir, and the one before nowhere", async () => {
    const keyDir = temporaryDirectory()
    const keyRotationDir = temporaryDirectory()
    const client = make({ keyDir, keyRotationDir })
    const first = await client.ready()
    const second = await client.rotateKeys()
    expect(second.fingerprint).not.toBe(first.fingerprint)
    expect(Fs.readdirSync(keyDir)).toEqual([])
    expect(Fs.readFileSync(Path.join(keyRotationDir, "public_key.pem"), "utf8")).toBe(second.pem)
    expect(await make({ keyDir, keyRotationDir }).ready()).toEqual(second)
  })

  it("does not overwrite what it cannot read, by rotation or generation", async () => {
    const keyDir = temporaryDirectory()
    await make({ keyDir, keyRotationPassword: "correct horse" }).ready()
    const before = Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")
    const wrong = { keyDir, keyRotationPassword: "wrong horse" }
    expect(await error(make(wrong).rotateKeys())).toMatchObject({ reason: "key-password" })
    expect(await error(makeLower(wrong).generateKeys())).toMatchObject({ reason: "key-password" })
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toBe(before)
  })

  it("is shared by clients that rotate at the same time", async () => {
    const keyDir = temporaryDirectory()
    const rotating = Array.from({ length: 3 }, () => make({ keyDir, keyRotationInterval: 1000 }))
    await Promise.all(rotating.map((client) => client.ready()))
    await new Promise((resolve) => setTimeout(resolve, 2500))
    for (const client of rotating) expect((await client.create(hello())).choices).toHaveLength(1)
    await Promise.all(rotating.map((client) => client[Symbol.asyncDispose]()))
    expect(Fs.readdirSync(keyDir).filter((name) => name.endsWith(".tmp"))).toEqual([])
  })

  it("names keyDir: false when it cannot write", async () => {
    const file = Path.join(temporaryDirectory(), "a file")
    Fs.writeFileSync(file, "")
    for (const keyDir of [Path.join(file, "keys"), "/sys/nomyo-keys"]) {
      const failure = await error(make({ keyDir }).ready())
      expect(failure).toMatchObject({ name: "SecurityError", reason: "client-key" })
      expect((failure as Error).message).toContain(keyDir)
      expect((failure as Error).message).toContain("keyDir: false")
    }
  })

  it("is touched by the first call, not by the constructor", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    make({ keyDir })
    await new Promise((resolve) => setImmediate(resolve))
    expect(Fs.existsSync(keyDir)).toBe(false)
  })
})
