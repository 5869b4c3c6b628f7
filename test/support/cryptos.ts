import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as WebCrypto from "../../src/WebCrypto.js"
import * as Vectors from "./vectors.js"

/** The layers of `Crypto` that encrypt. */
export const cryptos = [["node", NodeCrypto.layer], ["portable", WebCrypto.layer]] as const

/** A key pair of the vectors. */
export const load = (name: string, password?: string) =>
  NodeKeyStore.loadKeyPair(Vectors.path(`keys/${name}`), {
    password: password === undefined ? undefined : Redacted.make(password)
  })

export const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)

/** Counts the turns of the event loop, until the scope closes. */
export const countTurns = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const turns = { count: 0, timer: setImmediate(() => undefined) }
      const turn = () => {
        turns.count++
        turns.timer = setImmediate(turn)
      }
      turn()
      return turns
    }),
    (turns) => Effect.sync(() => clearImmediate(turns.timer))
  ),
  (turns) => () => turns.count
)
