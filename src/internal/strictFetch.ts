/** Options that make a `fetch` follow no redirect, send no credentials and referrer, and store nothing. */
export const strictFetch = {
  redirect: "manual",
  credentials: "omit",
  cache: "no-store",
  referrerPolicy: "no-referrer"
} as const satisfies RequestInit
