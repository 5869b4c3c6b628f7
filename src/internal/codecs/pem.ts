/** PEM as RFC 7468 has it, in bytes: private keys pass through here and must not become strings. */
import * as Base64 from "./base64.js"
import * as Bytes from "./bytes.js"

const LF = 10
const isSpace = (char: number) => char === 32 || (char >= 9 && char <= 13)

/** One block, in lines of 64 characters. */
export const encode = (label: string, der: Uint8Array): Uint8Array<ArrayBuffer> => {
  const base64 = Base64.encode(der)
  const body = new Uint8Array(base64.length + Math.ceil(base64.length / 64))
  for (let from = 0, at = 0; from < base64.length; from += 64) {
    const line = base64.subarray(from, from + 64)
    body.set(line, at)
    at += line.length
    body[at++] = LF
  }
  const [begin, end] = [`-----BEGIN ${label}-----\n`, `-----END ${label}-----\n`]
  const pem = Bytes.concat([Bytes.fromText(begin), body, Bytes.fromText(end)])
  base64.fill(0)
  body.fill(0)
  return pem
}

/**
 * The DER inside the first block with one of these labels, and the label; `undefined` if there is none or it
 * is damaged. It is decoded where it stands: the DER is a view of `pem`, and the block's text is gone.
 */
export const decode = <Label extends string>(
  pem: Uint8Array<ArrayBuffer>,
  ...labels: ReadonlyArray<Label>
): { readonly label: Label; readonly der: Uint8Array<ArrayBuffer> } | undefined => {
  for (const label of labels) {
    const begin = `-----BEGIN ${label}-----`
    const start = Bytes.indexOf(pem, begin, 0)
    if (start < 0) continue
    const end = Bytes.indexOf(pem, `-----END ${label}-----`, start)
    if (end < 0) return undefined
    const base64 = pem.subarray(start + begin.length, end)
    const length = base64.reduce((at, char) => {
      if (isSpace(char)) return at
      base64[at] = char
      return at + 1
    }, 0)
    const der = Base64.decodeInto(base64.subarray(0, length), base64)
    return der === undefined ? undefined : { label, der }
  }
  return undefined
}
