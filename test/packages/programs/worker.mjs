/** For workerd: chats with the router and its silent double that the request names. */
import { chat, streamedChat } from "./chat.mjs"

const answer = async (request) => {
  const { router, silent } = Object.fromEntries(new URL(request.url).searchParams)
  const said = await chat(router, silent)
  await streamedChat(router)
  return `${said} true`
}

export default {
  fetch: (request) =>
    answer(request).then(
      (text) => new Response(text),
      (error) => new Response(`${error.name}: ${error.message}`)
    )
}
