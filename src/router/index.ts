/**
 * A NOMYO router for development and for tests of code that uses the client.
 *
 * @since 0.2.0
 */

/**
 * @since 0.3.0
 */
export * as GatewayKeys from "./GatewayKeys.js"

/**
 * @since 0.2.0
 */
export * as Model from "./Model.js"

/**
 * @since 0.3.0
 */
export * as ReplayStore from "./ReplayStore.js"

/**
 * @since 0.2.0
 */
export * as Router from "./Router.js"

/**
 * @since 0.3.0
 */
export * as RouterKeys from "./RouterKeys.js"
