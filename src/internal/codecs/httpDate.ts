/** An HTTP date, IMF-fixdate (RFC 9110, 5.6.7), of milliseconds since 1970. */
export const httpDate = (millis: number): string => new Date(millis).toUTCString()
