import { Stryker } from "@stryker-mutator/core"
import * as Fs from "node:fs"

/**
 * Changes one module after another in every place, and tries its own suites against each change. `npm run
 * test:mutation -- Transport KeyRing` does so for those only: the reports of the others stay, and the scores
 * of all go into `doc/reliability.md`.
 */
const modules = {
  Envelope: ["src/Envelope.ts", "contract/Envelope", "unit/Envelope", "vectors"],
  envelope: ["src/internal/codecs/envelope.ts", "contract/Envelope", "unit/Envelope", "vectors"],
  exchange: ["src/internal/exchange.ts", "unit/attempt", "unit/NomyoClient", "vectors"],
  attempt: ["src/internal/attempt.ts", "unit/attempt", "unit/NomyoClient", "unit/retry"],
  retry: ["src/internal/retry.ts", "unit/retry", "unit/attempt", "unit/disposal", "unit/NomyoClient"],
  deadline: ["src/internal/fibers/deadline.ts", "unit/attempt", "unit/disposal", "unit/interruption",
    "unit/retry"],
  Plaintext: ["src/Plaintext.ts", "unit/Plaintext", "contract/Envelope", "unit/NodeCrypto"],
  Body: ["src/Body.ts", "unit/Body", "contract/Transport"],
  rsaKeys: ["src/internal/rsaKeys.ts", "contract/Crypto", "vectors"],
  webCrypto: ["src/internal/webCrypto.ts", "contract/Crypto", "contract/Envelope", "unit/WebCrypto"],
  NodeCrypto: ["src/platform/node/NodeCrypto.ts", "contract/Crypto", "contract/Envelope", "unit/NodeCrypto"],
  aesGcm: ["src/platform/node/aesGcm.ts", "unit/aesGcm", "unit/NodeCrypto", "contract/Crypto"],
  keyHandles: ["src/platform/node/keyHandles.ts", "unit/keyHandles", "unit/NodeCrypto"],
  KeyRing: ["src/KeyRing.ts", "KeyRing", "KeyRingRotation"],
  epochs: ["src/internal/keyRing/epochs.ts", "KeyRing", "KeyRingRotation"],
  rotation: ["src/internal/keyRing/rotation.ts", "KeyRing", "KeyRingRotation"],
  shared: ["src/internal/fibers/sharedResource.ts", "KeyRing", "KeyRingRotation", "RouterKey"],
  RouterKey: ["src/RouterKey.ts", "RouterKey"],
  cached: ["src/internal/cached.ts", "RouterKey", "RouterConfiguration"],
  Transport: ["src/Transport.ts", "contract/Transport", "TransportOpen", "unit/Transport", "NodeTransport"],
  connectionError: ["src/internal/connectionError.ts", "connectionError", "unit/Transport"],
  rateLimit: ["src/internal/rateLimit.ts", "throttle"],
  Hpke: ["src/protocol2/Hpke.ts", "contract/protocol2", "protocol2Zeroing", "unit/Hpke"],
  XWing: ["src/protocol2/XWing.ts", "postQuantum"],
  ObliviousHttp: ["src/protocol2/ObliviousHttp.ts", "unit/ObliviousHttp", "contract/protocol2",
    "protocol2Zeroing", "obliviousGateway", "unit/SealedExchange"],
  Message: ["src/protocol2/Message.ts", "unit/Message", "padding", "protocol2Zeroing", "obliviousGateway"],
  SealedExchange: ["src/protocol2/SealedExchange.ts", "unit/SealedExchange", "protocol2Client",
    "protocol2Zeroing", "protocol2Streams"],
  ReplayStore: ["src/router/ReplayStore.ts", "ReplayStore"]
}
const suiteFiles = (suite) =>
  suite.includes("/")
    ? [`test/${suite}.test.ts`]
    : ["contract", "system", "unit"].map((folder) => `test/${folder}/${suite}.test.ts`)
for (const [name, [file, ...suites]] of Object.entries(modules)) {
  if (!Fs.existsSync(file)) throw new Error(`${name}: there is no ${file}`)
  const missing = suites.find((suite) => !suiteFiles(suite).some((path) => Fs.existsSync(path)))
  if (missing !== undefined) throw new Error(`${name}: there is no suite ${missing}`)
}

const page = "doc/reliability.md"
/** In percent. */
const LOWEST_SCORE = 85

const report = (name) => `node_modules/.cache/mutation/${name}.json`
const asked = process.argv.slice(2)
for (const [name, [file, ...suites]] of Object.entries(modules)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  process.env.MUTATION_SUITES = suites.join()
  await new Stryker({
    configFile: "test/mutation/stryker.json",
    mutate: [file],
    jsonReporter: { fileName: report(name) },
    tempDirName: `.stryker-tmp/${name}`
  }).runMutationTest()
}

const missing = Object.keys(modules).filter((name) => !Fs.existsSync(report(name)))
if (missing.length > 0) {
  console.log(`No score before there is a report of ${missing.join(", ")}`)
  process.exit()
}

const columns = ["Killed", "Timeout", "Survived", "NoCoverage"]
const count = (mutants) => columns.map((column) => mutants.filter(({ status }) => status === column).length)
const score = ([killed, timeout, ...alive]) =>
  (100 * (killed + timeout)) / (killed + timeout + alive[0] + alive[1])
const row = (name, counts) => `| ${[name, ...counts, `${score(counts).toFixed(1)} %`].join(" | ")} |`

const counts = Object.entries(modules).map(([name, [file]]) => {
  const { files } = JSON.parse(Fs.readFileSync(report(name), "utf8"))
  return [`\`${file}\``, count(Object.values(files).flatMap(({ mutants }) => mutants))]
})
const all = columns.map((_, i) => counts.reduce((sum, [, counts]) => sum + counts[i], 0))
const table = [
  "| module | killed | timed out | survived | not reached | score |",
  "|---|---|---|---|---|---|",
  ...counts.map(([name, counts]) => row(name, counts)),
  row("all", all)
].join("\n")

console.log(table)
Fs.writeFileSync(page,
  Fs.readFileSync(page, "utf8").replace(/(<!-- begin mutants -->\n)[^]*(<!-- end mutants -->)/,
    (_, begin, end) => begin + table + "\n" + end))
if (score(all) < LOWEST_SCORE) process.exitCode = 1
