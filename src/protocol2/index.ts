/**
 * Protocol 2, for programs that compose the client's layers themselves. `layer` of `nomyo-js/node` does it
 * for you with the option `protocol: 2`.
 *
 * @since 0.3.0
 */

/**
 * @since 0.3.0
 */
export * as Primitives from "./Primitives.js"

/**
 * @since 0.3.0
 */
export * as Protocol2 from "./Protocol2.js"

/**
 * @since 0.3.0
 */
export * as WebPrimitives from "./WebPrimitives.js"
