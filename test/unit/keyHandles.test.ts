import { assert, describe, it } from "@effect/vitest"
import { KeyHandles } from "../../src/platform/node/keyHandles.js"

const always = () => true

/** A pool whose handles are numbers, with an operation that ends when it is told to. */
const make = (limit: number) => {
  const used: Array<unknown> = []
  const ends: Array<() => void> = []
  let copies = 0
  const copy = async () => ({ copy: ++copies }) as unknown as CryptoKey
  const pool = new KeyHandles({ copy: 0 } as unknown as CryptoKey, copy, limit)
  const operation = (handle: CryptoKey) => {
    used.push((handle as unknown as { readonly copy: number }).copy)
    return new Promise<void>((resolve) => ends.push(resolve))
  }
  return { copies: () => copies, ends, operation, pool, used }
}

const settle = () => new Promise(setImmediate)

describe("KeyHandles", () => {
  it("starts at once with the first handle", () => {
    const { operation, pool, used } = make(2)
    void pool.use(operation, always)
    assert.deepStrictEqual(used, [0])
  })

  it("copies the key up to the limit, and lets the rest wait in order", async () => {
    const { copies, ends, operation, pool, used } = make(2)
    const all = [1, 2, 3, 4].map(() => pool.use(operation, always))
    await settle()
    assert.deepStrictEqual({ used, copies: copies() }, { used: [0, 1], copies: 1 })
    ends[1]!()
    await settle()
    ends[0]!()
    await settle()
    assert.deepStrictEqual({ used, copies: copies() }, { used: [0, 1, 1, 0], copies: 1 })
    for (const end of ends) end()
    await Promise.all(all)
  })

  it("skips an operation whose caller is gone, and runs the next", async () => {
    const { ends, operation, pool, used } = make(1)
    const first = pool.use(operation, always)
    const unwanted = pool.use(operation, () => false)
    const last = pool.use(operation, always)
    ends[0]!()
    assert.isUndefined(await unwanted)
    await settle()
    ends[1]!()
    await Promise.all([first, last])
    assert.deepStrictEqual(used, [0, 0])
  })

  it("goes on after an operation or a copy that failed", async () => {
    const handle = {} as CryptoKey
    const pool = new KeyHandles(handle, () => Promise.reject(new Error("no copy")), 2)
    const failed = await pool.use(() => Promise.reject(new Error("no")), always).catch((error: Error) =>
      error.message
    )
    const held = pool.use(() => settle(), always)
    const uncopied = await pool.use(async () => 1, always).catch((error: Error) => error.message)
    await held
    assert.deepStrictEqual({ failed, uncopied }, { failed: "no", uncopied: "no copy" })
    assert.strictEqual(await pool.use(async (used) => used === handle, always), true)
  })
})
