/** The KEMs of a client, by its option `postQuantum`. X-Wing is loaded when it is asked for. */
import * as Effect from "effect/Effect"
import type { NomyoConfig } from "../NomyoConfig.js"
import { SecurityError } from "../NomyoError.js"
import * as Hpke from "./Hpke.js"

/** MLKEM768-X25519 (draft-ietf-hpke-pq). */
export const X_WING_ID = 0x647a

/** A bundle may lack the file, and the smaller page modules have nothing in its place. */
const notLoaded = () =>
  new SecurityError({
    reason: "unsupported",
    message: "postQuantum is in a file of its own, which is missing: deploy every file that your bundler " +
      "writes. A page without a bundler loads dist/browser/post-quantum.js"
  })

/** The post-quantum KEM. Some 25 kB of JavaScript are loaded for it. */
export const loadXWing = Effect.tryPromise({
  try: async () => {
    const { xWing } = await import("./XWing.js")
    return xWing.id === X_WING_ID ? xWing : Promise.reject(notLoaded())
  },
  catch: notLoaded
})

/** The sender's half of a KEM. */
export type SenderKem = Pick<Hpke.Kem<never>, "id" | "encapsulate">

const load = Effect.map(loadXWing, (xWing): SenderKem => xWing)

const byOption: {
  readonly [name in NomyoConfig["postQuantum"]]: Effect.Effect<ReadonlyArray<SenderKem>, SecurityError>
} = {
  off: Effect.succeed([Hpke.x25519]),
  prefer: Effect.map(load, (xWing) => [xWing, Hpke.x25519]),
  require: Effect.map(load, (xWing) => [xWing])
}

/** The KEMs that a client has, the preferred one first. */
export const kemsOf = (
  { postQuantum }: NomyoConfig
): Effect.Effect<ReadonlyArray<SenderKem>, SecurityError> => byOption[postQuantum]
