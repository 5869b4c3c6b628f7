/** Result of a check. It holds no secret: people paste it into reports. */
export interface Finding {
  readonly name: string
  /** `FAIL` keeps requests from working; `WARN` is worth a look. */
  readonly status: "PASS" | "WARN" | "FAIL"
  readonly what: string
  /** The remedy. */
  readonly todo?: string
}

/** The findings of one check. */
export const findings = (name: string) => ({
  pass: (what: string): Finding => ({ name, status: "PASS", what }),
  warn: (what: string, todo: string): Finding => ({ name, status: "WARN", what, todo }),
  fail: (what: string, todo: string): Finding => ({ name, status: "FAIL", what, todo })
})
