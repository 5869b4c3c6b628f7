const decimal = /^\d+(\.\d+)?$/
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/

/**
 * How long a router asks to wait, in milliseconds: by `retry-after-ms`, or by `Retry-After` in seconds or as
 * an HTTP date (RFC 9110 10.2.3). `now` is in milliseconds since 1970.
 */
export const retryAfter = (
  header: (name: string) => string | null | undefined,
  now: number
): number | undefined => {
  const milliseconds = header("retry-after-ms")?.trim() ?? ""
  if (decimal.test(milliseconds)) return Number(milliseconds)
  const value = header("retry-after")?.trim() ?? ""
  if (decimal.test(value)) return Number(value) * 1000
  // `Date.parse` reads "1 2" as a day in January
  const date = httpDate.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
