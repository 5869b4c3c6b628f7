import { isVisibleAscii } from "../internal/codecs/header.js"

/** A longer id is refused, in characters. */
const LONGEST_ID = 128

/** The id of a request, if its header holds one. */
export const payloadIdOf = (headers: { readonly [name: string]: string | undefined }): string | undefined => {
  const id = headers["x-payload-id"]
  return isVisibleAscii(id) && id.length <= LONGEST_ID ? id : undefined
}
