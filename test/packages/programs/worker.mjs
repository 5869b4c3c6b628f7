/** For workerd: chats with the router and its silent double that the request names. */
import { chat } from "./chat.mjs"

export default {
  fetch: (request) =>
    chat(...new URL(request.url).searchParams.getAll("url")).then(
      () => new Response("ok"),
      (error) => new Response(`${error.name}: ${error.message}`)
    )
}
