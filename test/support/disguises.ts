/** Every way in which a text may lie about in a stream of bytes. */
export const disguises = (text: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(text)
  return [
    text,
    encodeURIComponent(text),
    bytes.toString("hex"),
    // at each alignment, without the characters that the neighbours touch
    ...[0, 1, 2].map((offset) => bytes.subarray(offset, offset + 15).toString("base64").replace(/=+$/, "")),
    Buffer.from(text, "utf16le").toString("latin1")
  ]
}
