/** A router's words to a client of protocol 1.0 that it does not serve. They say what to do. */
export const ONLY_PROTOCOL_2 =
  "This router speaks only protocol 2. Set NOMYO_PROTOCOL=2, protocol: 2 or --protocol 2"

const LATER = "Try again later"

const remedies: { readonly [status: number]: string } = {
  401: "Check apiKey",
  403: "Choose another model or tier",
  404: "Check baseUrl",
  413: "Shorten the request",
  429: "Wait, then try again",
  500: LATER,
  502: LATER,
  503: LATER,
  504: LATER
}

/**
 * The message of an error for an HTTP status: the status, the router's words, and what to do.
 *
 * @param detail the router's words, or ""
 * @param hasReason whether the answer has a `reason`: its words then say what to do
 */
export const statusMessage = (status: number, detail: string, hasReason: boolean): string => {
  const words = `The router answered ${status}${detail === "" ? "" : `: ${detail.replace(/\.$/, "")}`}`
  const remedy = hasReason || detail === ONLY_PROTOCOL_2 ? undefined : remedies[status]
  return remedy === undefined ? words : `${words}. ${remedy}`
}
