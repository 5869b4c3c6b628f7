/** The options of the client for Effect 4. */
import * as Redacted from "effect4/Redacted"
import type { ChatCompletionConfig } from "../promise/index.js"

/**
 * Options of the client: those of `SecureChatCompletion`, whose secrets may be `Redacted`. Warnings and debug
 * lines go to Effect's logger unless `logger` is set.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options extends Omit<ChatCompletionConfig, "apiKey" | "keyRotationPassword"> {
  /** API key, sent as a bearer token. Default: no key. */
  readonly apiKey?: string | Redacted.Redacted | undefined
  /**
   * Password that encrypts the private key files, on Node. At least 8 characters. Default: the files are not
   * encrypted.
   */
  readonly keyRotationPassword?: string | Redacted.Redacted | undefined
}

const reveal = (secret: string | Redacted.Redacted): string =>
  Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

/** The options of the Promise class, with the secrets as it takes them. */
export const plain = ({ apiKey, keyRotationPassword, ...others }: Options): ChatCompletionConfig => ({
  ...others,
  ...(apiKey === undefined ? {} : { apiKey: reveal(apiKey) }),
  ...(keyRotationPassword === undefined ? {} : { keyRotationPassword: reveal(keyRotationPassword) })
})
