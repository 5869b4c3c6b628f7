/**
 * OpenAI's HTTP API in front of a client, for tools that take a base URL. The gateway encrypts what they
 * send.
 *
 * @since 0.3.0
 */

/**
 * @since 0.3.0
 */
export * as Gateway from "./Gateway.js"
