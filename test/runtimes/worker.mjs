/** For workerd: chats with the router that the request names. */
import { chat } from "./chat.mjs"

export default {
  fetch: (request) =>
    chat(new URL(request.url).searchParams.get("router")).then(
      () => new Response("ok"),
      (error) => new Response(`${error.name}: ${error.message}`)
    )
}
