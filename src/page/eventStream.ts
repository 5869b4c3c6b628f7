/** Server-sent events: the JSON of each, as it comes. */

/** The texts of the events in a body. Comments and other fields are left out. */
async function* events(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = ""
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text.replaceAll("\r", "")).split("\n\n")
    rest = parts.pop() ?? ""
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"))
      if (data.length > 0) yield data.map((line) => line.slice(5).trimStart()).join("\n")
    }
  }
}

/** The values of the events up to `[DONE]`. Throws if the stream ends before that. */
export async function* values(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<unknown> {
  for await (const data of events(body)) {
    if (data === "[DONE]") return
    yield JSON.parse(data)
  }
  throw new Error("The connection to the proxy broke during the answer. Send the message again")
}
