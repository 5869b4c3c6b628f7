/** Responses in OpenAI's form. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import type { NomyoError } from "../NomyoError.js"
import { answerOf, type ErrorAnswer, Refusal } from "../openai/errors.js"

/** No copy of an answer is kept on its way to the tool. */
export const NO_STORE = { "cache-control": "no-store" }

/** A value as JSON. */
export const json = (value: object): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(value, { headers: NO_STORE })

/** An error as a response. */
export const errorResponse = (
  { body, headers, status }: ErrorAnswer
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(body, { status, headers: { ...NO_STORE, ...headers } })

/** A defect's message may repeat the prompt: the tool does not get it. */
export const DEFECT: ErrorAnswer =
  new Refusal(500, "gateway_failed", "The gateway failed. Report this as a bug in nomyo-js").answer

/** An error with another message. */
export type Reword = (answer: ErrorAnswer) => ErrorAnswer

/** Rewrites messages with a function, if there is one. */
export const rewordWith = (rewrite: ((message: string) => string) | undefined): Reword =>
  rewrite === undefined
    ? (answer) => answer
    : ({ body: { error }, ...answer }) => ({
      ...answer,
      body: { error: { ...error, message: rewrite(error.message) } }
    })

/** The error that a call ended with, in OpenAI's form. */
export const causeAnswer = (cause: Cause.Cause<NomyoError>): ErrorAnswer =>
  Option.match(Cause.failureOption(cause), { onNone: () => DEFECT, onSome: answerOf })
