/** Protocol 2 on WebCrypto. It is loaded when it is asked for. */
import * as Layer from "effect/Layer"
import type { Options } from "../../NomyoConfig.js"
import * as Protocol2 from "../../protocol2/Protocol2.js"
import * as WebPrimitives from "../../protocol2/WebPrimitives.js"

export const layerParts = (options: Options) =>
  Layer.provide(Protocol2.layerParts(options), WebPrimitives.layer)
