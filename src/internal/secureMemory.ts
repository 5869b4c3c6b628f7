/**
 * What holds for the whole process. On Node `nomyo-js` is a bundle with a copy of the modules that `nomyo-js/effect` loads one by one: what
 * this module has is not copied.
 */
export const secureMemory = {
  /** Whether secret buffers are zeroed, and locked where that can be done. */
  isEnabled: true,
  /** How many bytes are locked now. */
  lockedBytes: 0,
  /** How many buffers could not be locked so far. */
  refusals: 0,
  /** Whether that has been told. */
  isWarned: false
}
