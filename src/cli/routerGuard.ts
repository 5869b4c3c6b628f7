import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { guard } from "../internal/httpGuard.js"

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|::1)$/i.test(host)

const isWildcard = (host: string) => host === "0.0.0.0" || host === "::"

/** Protocol 1.0, JSON, and oblivious HTTP: an HTML form sends none of them. */
const CONTENT_TYPES = ["application/octet-stream", "application/json", "message/ohttp-chunked-req"]

/** The router's guards. The address that it listens on is one of its hosts. */
export const guarded = (
  { allowHost, allowOrigin, host }: {
    readonly host: string
    readonly allowHost: ReadonlyArray<string>
    readonly allowOrigin: ReadonlyArray<string>
  },
  hasTls: boolean
) =>
  guard({
    hosts: [...allowHost, ...(isWildcard(host) ? [] : [host.includes(":") ? `[${host}]` : host])],
    origins: allowOrigin,
    scheme: hasTls ? "https" : "http",
    contentTypes: CONTENT_TYPES,
    refuse: ({ message, status }) => HttpServerResponse.unsafeJson({ detail: message }, { status })
  })
