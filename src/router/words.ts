/** Words, which are the echo model's tokens. */

/**
 * The words of a text, each with the blanks before it. In a time that grows with the length, whatever the
 * text is.
 */
export const words = (text: string): ReadonlyArray<string> =>
  // blanks at the end belong to no word
  text.split(/(?<=\S)(?=\s)/).filter((word) => word.trim() !== "")

/** The text of a message; parts that are none are named. Servers take more shapes than OpenAI describes. */
export const textOf = ({ content }: { readonly content?: unknown }): string => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content.map((part: unknown) => {
    if (typeof part === "string") return part
    const { text, type } = (part ?? {}) as { readonly text?: unknown; readonly type?: unknown }
    return typeof text === "string" ? text : `[${typeof type === "string" ? type : "part"}]`
  }).join(" ")
}
