/** Words that stand in prompts, tool calls and answers, and must show nowhere else. */
export const MARKER = "marzipan from Lübeck"
