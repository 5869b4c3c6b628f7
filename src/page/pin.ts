/** The fingerprint that the user has compared, kept in this browser for this origin. */

const NAME = "nomyo-js/pinned-router-key"

/** The pinned fingerprint, if there is one. */
export const savedPin = (): string | undefined => localStorage.getItem(NAME) ?? undefined

/** Accepts this key alone from now on; any key without one. */
export const savePin = (fingerprint: string | undefined): void => {
  if (fingerprint === undefined) localStorage.removeItem(NAME)
  else localStorage.setItem(NAME, fingerprint)
}
