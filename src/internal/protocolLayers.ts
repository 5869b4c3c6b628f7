import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Crypto } from "../Crypto.js"
import type { KeyRing } from "../KeyRing.js"
import type { KeyStore } from "../KeyStore.js"
import * as NomyoClient from "../NomyoClient.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { InvalidRequestError, type SecurityError } from "../NomyoError.js"
import type { RouterKey } from "../RouterKey.js"
import type { SecureMemory } from "../SecureMemory.js"
import type { Transport } from "../Transport.js"

/** A client with its key ring and its router key, over the services of a platform. */
type Parts = Layer.Layer<
  NomyoClient.NomyoClient | KeyRing | RouterKey,
  InvalidRequestError | SecurityError,
  Crypto | KeyStore | Transport | SecureMemory
>

type Protocol2 = { readonly layerParts: (options: NomyoConfig.Options) => Parts }

/** A bundle or a deployment may lack the file that holds protocol 2, and so does the page module of 1.0. */
const notLoaded = () =>
  new InvalidRequestError({
    message:
      "protocol 2 is in a file of its own, which is missing: deploy every file that your bundler writes, " +
      "or leave nomyo-js out of the bundle. A page without a bundler loads dist/browser/protocol-2.js"
  })

/** The client by the protocol that the options ask for. Protocol 2 is loaded when it is asked for. */
export const layerByProtocol = (options: NomyoConfig.Options, load: () => Promise<Protocol2>): Parts =>
  Layer.unwrapEffect(Effect.flatMap(NomyoConfig.make(options), ({ protocol }) =>
    protocol === 1
      ? Effect.succeed<Parts>(NomyoClient.layerParts(options))
      : Effect.tryPromise({ try: async () => (await load()).layerParts(options), catch: notLoaded })))
