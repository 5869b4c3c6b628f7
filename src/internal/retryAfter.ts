const decimal = /^\d+(\.\d+)?$/
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/
/** The oldest of the three forms of RFC 9110 5.6.7 names no zone, and means GMT. */
const asctime = /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/

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
  const date = httpDate.test(value) ? Date.parse(asctime.test(value) ? `${value} GMT` : value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
