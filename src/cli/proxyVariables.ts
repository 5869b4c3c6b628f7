const PROXIES = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]

const isExempt = (list: string): boolean => {
  const names = new Set(list.split(",").map((name) => name.trim()))
  return names.has("*") || (names.has("127.0.0.1") && names.has("localhost"))
}

/**
 * Warns of an environment in which curl, httpx and urllib send requests for this machine to an HTTP proxy,
 * prompt and all. `undefined` if there is nothing to warn of.
 */
export const proxyWarning = (environment: NodeJS.ProcessEnv): string | undefined => {
  const variable = PROXIES.find((name) => (environment[name] ?? "") !== "")
  const exempt = environment["no_proxy"] || environment["NO_PROXY"] || ""
  return variable === undefined || isExempt(exempt)
    ? undefined
    : `${variable} is set: tools may send prompts to that HTTP proxy IN THE CLEAR, even those for this ` +
      "machine. " +
      "Set NO_PROXY=127.0.0.1,localhost (and no_proxy) where the tools run"
}
