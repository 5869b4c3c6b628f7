// Preloaded into examples: what they send to the service goes to the test's router, and nothing else about them changes.
const { fetch } = globalThis
globalThis.fetch = (input, init) => fetch(String(input).replace("https://api.nomyo.ai", process.env.TEST_ROUTER), init)
