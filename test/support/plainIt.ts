/**
 * The test files of one worker share `@effect/vitest`, whose `it.layer` leaves its methods on their one `it`.
 * So each file begins with the plain ones.
 */
import { effect, it, live, scoped, scopedLive } from "@effect/vitest"

Object.assign(it, { effect, live, scoped, scopedLive })
