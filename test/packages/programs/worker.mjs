/** For workerd: chats with the router and its silent double that the request names. */
import { chat } from "./chat.mjs"

const answer = async (request) => {
  const { router, silent } = Object.fromEntries(new URL(request.url).searchParams)
  return `${await chat(router, silent)} true`
}

export default {
  fetch: (request) =>
    answer(request).then(
      (text) => new Response(text),
      (error) => new Response(`${error.name}: ${error.message}`)
    )
}
