/** Protocol 2 on Node. It is loaded when it is asked for: programs that do not use it do not pay for it. */
import * as Layer from "effect/Layer"
import type { Options } from "../../NomyoConfig.js"
import * as Protocol2 from "../../protocol2/Protocol2.js"
import * as NodePrimitives from "./NodePrimitives.js"

export const layerParts = (options: Options) =>
  Layer.provide(Protocol2.layerParts(options), NodePrimitives.layer)
