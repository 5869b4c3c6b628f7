/** One measurement in a process of its own: `node child.mjs <what> <arguments>`. Prints one line of JSON. */
import { once } from "node:events"
import * as Fs from "node:fs"
import { Worker } from "node:worker_threads"

const [what, ...args] = process.argv.slice(2)
const tick = () => new Promise((resolve) => setImmediate(resolve))
const now = () => Number(process.hrtime.bigint()) / 1e6

/** A subject, and a call that has it seal a request of 1 KiB and open an answer to it. */
const ready = async (name, bits) => {
  const { answer, keys, make, payload } = await import("./subjects.mjs")
  const pair = keys(bits)
  const subject = await make[name](pair)
  const request = payload(1024)
  const envelope = await (await make[name === "jose" ? "jose" : "floor"](pair)).seal(answer(1024))
  return {
    subject,
    both: async () => {
      await subject.seal(request)
      await subject.open(envelope)
    }
  }
}

/**
 * What is to be sealed or opened is read from files: making it here would leave memory behind that hides a
 * peak.
 */
const operation = async ([name, direction, file]) => {
  const bytes = Fs.readFileSync(file)
  if (name === "JSON.parse") return () => JSON.parse(bytes.toString())
  const { both, subject } = await ready(name, 4096)
  await both()
  const input = direction === "seal" ? JSON.parse(bytes.toString()) : bytes
  // where there is a way to send in chunks, that is what the client does
  const call = direction === "seal" && subject.send !== undefined ? subject.send : subject[direction]
  return () => call(input)
}

/**
 * The largest resident set of the process while something runs, in bytes over what it was before; sampled by
 * another thread.
 */
const peak = async (run) => {
  const shared = new Float64Array(new SharedArrayBuffer(8))
  const worker = new Worker(
    `const { parentPort, workerData } = require("node:worker_threads")
     parentPort.postMessage("ready")
     const pause = new Int32Array(new SharedArrayBuffer(4))
     for (;;) { workerData[0] = Math.max(workerData[0], process.memoryUsage.rss()); Atomics.wait(pause, 0, 0, 0.5) }`,
    { eval: true, workerData: shared }
  )
  await once(worker, "message")
  globalThis.gc()
  globalThis.gc()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const idle = process.memoryUsage.rss()
  shared[0] = idle
  await run()
  await new Promise((resolve) => setTimeout(resolve, 5))
  await worker.terminate()
  return shared[0] - idle
}

/** The longest time between two turns of the event loop while something runs, in milliseconds. */
const stall = async (run) => {
  let longest = 0
  let last = now()
  let next
  const turn = () => {
    const time = now()
    longest = Math.max(longest, time - last)
    last = time
    next = setImmediate(turn)
  }
  turn()
  await run()
  await tick()
  clearImmediate(next)
  return longest
}

/** Sends one request as soon as it can. */
const first = {
  "nomyo-js": async (baseUrl, keyDir) => {
    const { SecureChatCompletion } = await import("nomyo-js")
    const client = new SecureChatCompletion({ baseUrl, allowHttp: true, keyDir, keyRotationInterval: 0 })
    await client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
  },
  "jose + fetch": async (baseUrl, keyDir) => {
    const { FlattenedEncrypt, importSPKI } = await import("jose")
    const pem = await (await fetch(`${baseUrl}/pki/public_key`)).text()
    const jwe = await new FlattenedEncrypt(
      Buffer.from(JSON.stringify({ model: "m", messages: [{ role: "user", content: "Hello!" }] }))
    )
      .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" })
      .encrypt(await importSPKI(pem, "RSA-OAEP-256"))
    const publicKey = Fs.readFileSync(`${keyDir}/public_key.pem`, "utf8")
    await fetch(`${baseUrl}/jose`, { method: "POST",
      headers: { "x-public-key": encodeURIComponent(publicKey) }, body: JSON.stringify(jwe) })
  },
  "openai, plain text": async (baseUrl) => {
    const { default: OpenAI } = await import("openai")
    const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: "k" })
    await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
  }
}

const measurements = {
  memory: async () => peak(await operation(args)),
  stall: async () => {
    const run = await operation(args)
    await run()
    const stalls = []
    for (let i = 0; i < 3; i++) stalls.push(await stall(run))
    return stalls.toSorted((a, b) => a - b)[1]
  },
  /** Bytes allocated by a request of 1 KiB and its answer, in a process too roomy to collect any. */
  allocated: async () => {
    const { both } = await ready(args[0], 2048)
    for (let i = 0; i < 500; i++) await both()
    globalThis.gc()
    const used = () => {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return arrayBuffers + heapUsed
    }
    const before = used()
    for (let i = 0; i < 100; i++) await both()
    return (used() - before) / 100
  },
  /** A picture of 7 MiB by `create` and by `fetch`, in turn: milliseconds of CPU, by name and round. */
  picture: async () => {
    const { picture } = await import("./clients.mjs")
    const { clocks, paired } = await import("./measure.mjs")
    const [baseUrl, bits, keyDir, rounds] = args
    return paired(picture(baseUrl, Number(bits), keyDir), { clock: clocks.cpu, rounds: Number(rounds),
      warm: 5 })
  },
  first: async () => void await first[args[0]](...args.slice(1)),
  /** A client that is called as often as its parent asks, and tells what that took. */
  caller: async () => {
    const { clients } = await import("./clients.mjs")
    const { clocks, rate, rsaRate } = await import("./measure.mjs")
    const { keys } = await import("./subjects.mjs")
    const [name, baseUrl, bits, keyDir, warm] = args
    const call = await clients[name](baseUrl, Number(bits), keyDir)
    // until V8 has compiled what it will: below a millisecond, compiling would be most of what is measured
    await rate(call, { concurrency: 4, milliseconds: Number(warm) })
    process.on("message", async (question) => {
      if ("rsa" in question)
        return process.send(await rsaRate(keys(Number(bits)).pkcs8, question.rsa, question.keys))
      if ("rate" in question) return process.send(await rate(call, question.rate))
      const [cpu, wall] = [clocks.cpu(), clocks.wall()]
      for (let i = 0; i < question.batch; i++) await call()
      process.send({ cpu: (clocks.cpu() - cpu) / question.batch,
        wall: (clocks.wall() - wall) / question.batch })
    })
    process.send("ready")
    await once(process, "disconnect")
    process.exit()
  }
}

process.stdout.write(`${JSON.stringify(await measurements[what]() ?? null)}\n`)
process.exit()
