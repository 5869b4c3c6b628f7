/**
 * Test files of one worker share their modules, which saves a third of their time. `it.layer` of
 * `@effect/vitest` leaves its methods on the `it` that they share, so each file begins with the plain ones.
 */
import { effect, it, live, scoped, scopedLive } from "@effect/vitest"

Object.assign(it, { effect, live, scoped, scopedLive })
