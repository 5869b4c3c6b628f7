/** Files that go along with a prompt. */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { type ContentPart, MAX_PAYLOAD_BYTES } from "../ChatCompletion.js"
import { InvalidRequestError } from "../NomyoError.js"
import { decodeText } from "./decode.js"

/** A file's text, or an image as a data URL. */
export type Attachment =
  | { readonly type: "text"; readonly name: string; readonly text: string }
  | { readonly type: "image"; readonly url: string }

const refuse = (message: string) => new InvalidRequestError({ message })

/** The image formats that models take, by their first bytes in Latin-1. */
const imageType = (bytes: Buffer): string | undefined => {
  const head = bytes.toString("latin1", 0, 12)
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "image/png"
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg"
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return "image/gif"
  return head.startsWith("RIFF") && head.endsWith("WEBP") ? "image/webp" : undefined
}

/** All of a file or a pipe, up to a limit. */
const readUpTo = async (path: string, limit: number): Promise<Buffer> => {
  const file = await Fs.open(path)
  try {
    const chunks: Array<Buffer> = []
    let length = 0
    const stream: AsyncIterable<Buffer> = file.createReadStream({ autoClose: false })
    for await (const chunk of stream) {
      chunks.push(chunk)
      length += chunk.length
      if (length > limit) throw new Error("larger than 10 MiB")
    }
    return Buffer.concat(chunks)
  } finally {
    await file.close()
  }
}

const MEANINGS: { readonly [code: string]: string } = {
  EACCES: "this user may not read it",
  EISDIR: "it is a directory",
  ENOENT: "there is no such file"
}

const cannotRead = (path: string) => (error: unknown) => {
  const { code = "", message } = error as NodeJS.ErrnoException
  const reason = MEANINGS[code] ?? (code || message)
  return refuse(`${path} cannot be sent: ${reason}. Choose another file`)
}

/** Reads a file to be sent: text by its encoding, an image by its first bytes. */
export const readAttachment = Effect.fnUntraced(function*(path: string) {
  const bytes = yield* Effect.tryPromise({
    try: () => readUpTo(path, MAX_PAYLOAD_BYTES),
    catch: cannotRead(path)
  })
  const type = imageType(bytes)
  if (type !== undefined) {
    const image: Attachment = { type: "image", url: `data:${type};base64,${bytes.toString("base64")}` }
    return image
  }
  const text = decodeText(bytes)
  if (text === undefined) {
    const message = `${path} is neither UTF-8 or UTF-16 text nor a PNG, JPEG, GIF or WebP image. Convert it`
    return yield* Effect.fail(refuse(message))
  }
  const attachment: Attachment = { type: "text", name: Path.basename(path), text }
  return attachment
})

const textOf = (attachment: Attachment): ReadonlyArray<string> =>
  attachment.type === "text" ? [`${attachment.name}:\n\n${attachment.text}`] : []

/** The content of a message: the prompt, then the files' text; in parts if there are images. */
export const withAttachments = (
  prompt: string,
  attachments: ReadonlyArray<Attachment>
): string | Array<ContentPart> => {
  const text = [...(prompt === "" ? [] : [prompt]), ...attachments.flatMap(textOf)].join("\n\n")
  const images = attachments.flatMap((attachment): ReadonlyArray<ContentPart> =>
    attachment.type === "image" ? [{ type: "image_url", image_url: { url: attachment.url } }] : [])
  return images.length === 0 ? text : [...(text === "" ? [] : [{ type: "text" as const, text }]), ...images]
}
