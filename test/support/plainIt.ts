/**
 * The test files of one worker share `@effect/vitest`, whose `it.layer` leaves its methods on their one `it`.
 * Here it takes them away again.
 */
import { effect, it, layer, scoped } from "@effect/vitest"

type Body = (it: unknown) => void

const tidied = (body: Body): Body => (own) => {
  try {
    body(own)
  } finally {
    makePlain()
  }
}

const tidyLayer = (...args: Parameters<typeof layer>) => {
  const describe = layer(...args) as (...rest: ReadonlyArray<unknown>) => void
  return (...rest: ReadonlyArray<unknown>) =>
    describe(...rest.map((part) => typeof part === "function" ? tidied(part as Body) : part))
}

const makePlain = () => Object.assign(it, { effect, scoped, layer: tidyLayer })

makePlain()
