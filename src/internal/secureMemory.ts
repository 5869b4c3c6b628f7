/**
 * The state of secure memory, one for the whole process. `nomyo-js` is a bundle on Node, with copies of the
 * modules that `nomyo-js/effect` loads. This module is not copied.
 */
export const secureMemory = {
  /** Whether secret buffers are zeroed, and locked where that is possible. */
  isEnabled: true,
  /** How many bytes are locked now. */
  lockedBytes: 0,
  /** How many buffers could not be locked so far. */
  refusals: 0,
  /** Whether a warning about that has been logged. */
  isWarned: false
}
