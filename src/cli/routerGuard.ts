import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { guard } from "../internal/httpGuard.js"
import { hostNames, type ServerOptions } from "./serverOptions.js"

/** Protocol 1.0, JSON, and oblivious HTTP: an HTML form sends none of them. */
const CONTENT_TYPES = ["application/octet-stream", "application/json", "message/ohttp-chunked-req"]

/** The router's guards. The address that it listens on is one of its hosts. */
export const guarded = (
  options: Pick<ServerOptions, "allowHost" | "allowOrigin" | "host">,
  hasTls: boolean
) =>
  guard({
    hosts: hostNames(options),
    origins: options.allowOrigin,
    scheme: hasTls ? "https" : "http",
    contentTypes: CONTENT_TYPES,
    refuse: ({ message, status }) => HttpServerResponse.unsafeJson({ detail: message }, { status })
  })
