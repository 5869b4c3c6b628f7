/** What every `KeyStore` does, as effects that fail with a sentence: they run in Node and in a browser. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Crypto, type KeyPair } from "../../src/Crypto.js"
import { KeyStore } from "../../src/KeyStore.js"

interface Case {
  readonly name: string
  /** Of stores whose pair outlives the client. */
  readonly persistent: boolean
  readonly run: Effect.Effect<void, unknown, KeyStore | Crypto>
}

const generate = (createdAt: number) =>
  Effect.map(Effect.flatMap(Crypto, (crypto) => crypto.generateKeyPair(2048)),
    (pair): KeyPair => ({ ...pair, createdAt }))

const describePair = (pair: KeyPair | undefined) =>
  pair === undefined
    ? "no pair"
    : `${pair.publicKey.fingerprint} of ${new Date(pair.createdAt).toISOString()}`

const same = (what: string, actual: KeyPair | undefined, expected: KeyPair | undefined) =>
  describePair(actual) === describePair(expected)
    ? Effect.void
    : Effect.fail(`${what}: ${describePair(actual)} instead of ${describePair(expected)}`)

const loaded = Effect.flatMap(KeyStore, ({ load }) => Effect.map(load, Option.getOrUndefined))
const save = (pair: KeyPair, replacing?: KeyPair) =>
  Effect.flatMap(KeyStore, (store) => store.save(pair, replacing))

const DAY = 86_400_000
const yesterday = Math.floor(Date.now() / 1000) * 1000 - DAY

/** Each runs on an empty store. */
export const cases: ReadonlyArray<Case> = [
  {
    name: "has no pair at first, and none after remove, which may be repeated",
    persistent: false,
    run: Effect.gen(function*() {
      yield* same("at first", yield* loaded, undefined)
      yield* save(yield* generate(yesterday))
      const { remove } = yield* KeyStore
      yield* remove
      yield* remove
      yield* same("after remove", yield* loaded, undefined)
    })
  },
  {
    name: "gives the pair that it keeps when one is saved, and the result of what runs exclusively",
    persistent: false,
    run: Effect.gen(function*() {
      const pair = yield* generate(yesterday)
      const { exclusively } = yield* KeyStore
      yield* same("saved", yield* exclusively(save(pair)), pair)
    })
  },
  {
    name: "keeps the first of two first pairs, with its time",
    persistent: true,
    run: Effect.gen(function*() {
      const first = yield* generate(yesterday)
      yield* save(first)
      yield* same("loaded", yield* loaded, first)
      yield* same("saved second", yield* save(yield* generate(yesterday + 1000)), first)
      yield* same("loaded then", yield* loaded, first)
    })
  },
  {
    name: "replaces a pair, and keeps one that is newer than the replaced one",
    persistent: true,
    run: Effect.gen(function*() {
      const [old, theirs, ours] = [yield* generate(yesterday), yield* generate(yesterday + 1000),
        yield* generate(yesterday + 2000)]
      yield* save(old)
      yield* same("replaced", yield* save(theirs, old), theirs)
      yield* same("too late", yield* save(ours, old), theirs)
      yield* same("loaded", yield* loaded, theirs)
    })
  },
  {
    name: "replaces a pair that is dated ahead, whatever was to be replaced",
    persistent: true,
    run: Effect.gen(function*() {
      const [planted, ours, theirs] = [yield* generate(Date.now() + 365 * DAY), yield* generate(yesterday),
        yield* generate(yesterday + 1000)]
      yield* save(planted)
      yield* same("replaced", yield* save(ours, { ...ours, createdAt: yesterday - DAY }), ours)
      yield* same("for who still has it", yield* save(theirs, planted), ours)
    })
  }
]
