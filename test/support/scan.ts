import * as Record from "effect/Record"
import * as Fs from "node:fs"

const STEP = 16 * 1024 * 1024

/**
 * How often each of some byte strings occurs in the memory that a process may write to, as a core dump of it
 * would show. Linux only.
 */
export const scan = <Name extends string>(pid: number,
  needles: { readonly [name in Name]: Uint8Array }): { [name in Name]: number } => {
  const longest = Math.max(...Object.values<Uint8Array>(needles).map(({ length }) => length))
  const found = Record.map(needles, () => 0)
  const buffer = Buffer.alloc(STEP + longest - 1)
  const memory = Fs.openSync(`/proc/${pid}/mem`, "r")
  try {
    for (const [, from, to] of Fs.readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(
      /^([0-9a-f]+)-([0-9a-f]+) rw/gm
    )) {
      const end = Number.parseInt(to!, 16)
      for (let at = Number.parseInt(from!, 16); at < end; at += STEP) {
        const bytes = buffer.subarray(0,
          Fs.readSync(memory, buffer, 0, Math.min(buffer.length, end - at), at))
        for (const name of Object.keys(found) as Array<Name>) {
          for (let hit = bytes.indexOf(needles[name]); hit >= 0 && hit < STEP;
            hit = bytes.indexOf(needles[name], hit + 1)) found[name]++
        }
      }
    }
  } finally {
    Fs.closeSync(memory)
  }
  return found
}
