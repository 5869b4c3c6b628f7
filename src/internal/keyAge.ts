/**
 * The age of a key pair, where the time it was made may be wrong: files and databases keep any time that is
 * written there.
 */

/** How far the clocks of machines that share a store may differ, in milliseconds. */
const TOLERANCE = 60_000

/**
 * Whether a pair claims to be made at a time that has not come. Such a pair is expired: it would otherwise
 * never be replaced.
 */
export const isAhead = (createdAt: number, now: number): boolean => createdAt > now + TOLERANCE

/** In milliseconds; infinite for a pair that is ahead of the clock. */
export const keyAge = (createdAt: number, now: number): number =>
  isAhead(createdAt, now) ? Number.POSITIVE_INFINITY : Math.max(0, now - createdAt)

/** Whether a pair was made after another, both in milliseconds since 1970. */
export const isNewer = (createdAt: number, other: number, now: number): boolean =>
  !isAhead(createdAt, now) && (isAhead(other, now) || createdAt > other)
