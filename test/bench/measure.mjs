/**
 * Paired samples: what is compared runs in turn, a short while each, so that a machine whose speed drifts
 * drifts for all of them.
 */
import { webcrypto } from "node:crypto"
import * as Os from "node:os"

const sorted = (numbers) => numbers.toSorted((a, b) => a - b)
const quantile = (numbers, q) => {
  const all = sorted(numbers)
  const at = (all.length - 1) * q
  const below = Math.floor(at)
  return all[below] + (all[Math.min(below + 1, all.length - 1)] - all[below]) * (at - below)
}
/** The median and the quartiles around it. */
export const summary = (numbers) => ({ median: quantile(numbers, 0.5), low: quantile(numbers, 0.25),
  high: quantile(numbers, 0.75), n: numbers.length })
export const ratio = (a, b) => summary(a.map((value, i) => value / b[i]))

const wall = () => Number(process.hrtime.bigint()) / 1e6
const cpu = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}
/** Milliseconds by the clock, or of CPU time of the whole process. */
export const clocks = { cpu, wall }

/**
 * Runs each subject `rounds` times, `batch` calls at a time, in a new order each round; gives the
 * milliseconds of a call, by name and round. What comes first warms up and is not counted: `warm` calls of
 * each, where the compiler's own time would show, and a round.
 */
export const paired = async (subjects, { batch = 1, clock = wall, rounds, warm = 0 }) => {
  const names = Object.keys(subjects)
  const samples = Object.fromEntries(names.map((name) => [name, []]))
  for (const name of names) for (let n = 0; n < warm; n++) await subjects[name]()
  for (let round = -1; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round + names.length) % names.length]
      const start = clock()
      for (let n = 0; n < batch; n++) await subjects[name]()
      if (round >= 0) samples[name].push((clock() - start) / batch)
    }
  }
  return samples
}

/** Calls per second of a subject, with this many under way at any time. */
export const rate = async (subject, { concurrency, milliseconds }) => {
  const start = wall()
  let calls = 0
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (wall() - start < milliseconds) {
      await subject()
      calls++
    }
  }))
  return 1000 * calls / (wall() - start)
}

/**
 * RSA private operations per second of all cores. A key is imported once per core, since Node uses none of
 * them on two cores at once.
 */
export const rsaRate = async (pkcs8, milliseconds, length = Os.availableParallelism()) => {
  const rsa = { name: "RSA-OAEP", hash: "SHA-256" }
  const keys = await Promise.all(
    Array.from({ length }, () => webcrypto.subtle.importKey("pkcs8", pkcs8, rsa, false, ["decrypt"]))
  )
  const { createPrivateKey, createPublicKey } = await import("node:crypto")
  const spki = createPublicKey(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })).export({
    format: "der",
    type: "spki"
  })
  const ciphertext = await webcrypto.subtle.encrypt(
    "RSA-OAEP",
    await webcrypto.subtle.importKey("spki", spki, rsa, false, ["encrypt"]),
    new Uint8Array(32)
  )
  const rates = await Promise.all(
    keys.map((key) =>
      rate(() => webcrypto.subtle.decrypt("RSA-OAEP", key, ciphertext), { concurrency: 1, milliseconds })
    )
  )
  return rates.reduce((a, b) => a + b)
}
