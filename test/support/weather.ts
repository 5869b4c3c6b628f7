import type OpenAI from "openai"
import { zodFunction } from "openai/helpers/zod"
import { expect } from "vitest"
import { z } from "zod"
import { MARKER } from "./marker.js"

/** Lets a model call a tool with the marker, and expects its answer to repeat what the tool said. */
export const runWeatherTool = async (openai: OpenAI, model: string, stream: boolean) => {
  const cities: Array<unknown> = []
  const messages = [{ role: "user" as const, content: MARKER }]
  const tools = [zodFunction({
    name: "get_weather",
    parameters: z.object({ city: z.string() }),
    function: (args) => {
      cities.push(args)
      return `${MARKER}: 21 °C`
    }
  })]
  const runner = stream
    ? openai.chat.completions.runTools({ model, messages, tools, stream: true })
    : openai.chat.completions.runTools({ model, messages, tools })
  expect(await runner.finalContent()).toBe(`The tool says: ${MARKER}: 21 °C`)
  expect(cities).toEqual([{ city: MARKER }])
}
