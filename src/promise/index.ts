/**
 * `nomyo-js`: the API for callers without Effect, by name.
 *
 * @since 0.2.0
 */

// by `*`, so that `declare module "nomyo-js"` can add a model server's own fields to them
export type * from "../openai/chatAnswer.js"

export type * from "../openai/chatRequest.js"

export type { PublicKey } from "../Crypto.js"

export {
  APIConnectionError,
  APIError,
  AuthenticationError,
  type ConnectionReason,
  DisposedError,
  ForbiddenError,
  InvalidRequestError,
  isNomyoError,
  NomyoError,
  RateLimitError,
  SecurityError,
  type SecurityReason,
  ServerError,
  ServiceUnavailableError
} from "../NomyoError.js"

export { getMemoryProtectionInfo } from "#platform"

export {
  disableSecureMemory,
  enableSecureMemory,
  type MemoryProtectionInfo,
  SecureByteContext
} from "../SecureMemory.js"

export type {
  BatchOptions,
  Bytes,
  CallOptions,
  ClientConfig,
  Fetch,
  FetchInit,
  FetchResponse,
  Logger,
  Time
} from "./options.js"

export type { CompletionStream } from "./stream.js"

export type { BatchResult } from "./Batch.js"

export { type ChatCompletionConfig, SecureChatCompletion } from "./SecureChatCompletion.js"

export {
  type GenerateKeysOptions,
  SecureCompletionClient,
  type SecureCompletionClientConfig
} from "./SecureCompletionClient.js"
