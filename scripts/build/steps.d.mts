/** A step of a build: `run` gives the files that it wrote, and whatever the steps after it read. */
interface Step {
  readonly inputs: ReadonlyArray<string>
  readonly needs: ReadonlyArray<string>
  readonly run: (needed: object) => { readonly outputs: ReadonlyArray<string> } | Promise<never>
}

export declare const makeBuild: (options: {
  readonly root: string
  readonly cache: string
  readonly common: ReadonlyArray<string>
  readonly output: string
  readonly steps: { readonly [name: string]: Step }
}) => (names?: ReadonlyArray<string>) => Promise<void>
