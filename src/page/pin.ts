/** The fingerprint that the user has compared, kept in this browser for this origin. */

/** Each protocol has keys of its own. */
type Protocol = 1 | 2

const NAMES = { 1: "nomyo-js/pinned-router-key", 2: "nomyo-js/pinned-router-key-config" } as const

/** The pinned fingerprint, if there is one. */
export const savedPin = (protocol: Protocol): string | undefined =>
  localStorage.getItem(NAMES[protocol]) ?? undefined

/** Accepts this key alone from now on; any key without one. */
export const savePin = (protocol: Protocol, fingerprint: string | undefined): void => {
  if (fingerprint === undefined) localStorage.removeItem(NAMES[protocol])
  else localStorage.setItem(NAMES[protocol], fingerprint)
}
