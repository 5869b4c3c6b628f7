const decimal = /^\d+(\.\d+)?$/
/** The three forms of RFC 9110 5.6.7 begin with the name of a day; the last of them names no zone and means GMT. */
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/
const asctime = /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/

/** The wait a server asks for, in milliseconds: `retry-after-ms`, or `Retry-After` in seconds or as an HTTP date. */
export const retryAfterOf = (header: (name: string) => string | null | undefined, now: number): number | undefined => {
  const milliseconds = header("retry-after-ms")?.trim() ?? ""
  if (decimal.test(milliseconds)) return Number(milliseconds)
  const value = header("retry-after")?.trim() ?? ""
  if (decimal.test(value)) return Number(value) * 1000
  // `Date.parse` reads "1 2" as a day in January
  const date = httpDate.test(value) ? Date.parse(asctime.test(value) ? `${value} GMT` : value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
